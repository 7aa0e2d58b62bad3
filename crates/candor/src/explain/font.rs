//! A 5x7 bitmap font with what a legend needs: digits, signs and the letters of a few words.

use image::{Rgb, RgbImage};

/// Columns from one character to the next, at scale 1.
const ADVANCE: u32 = 6;
/// Rows of a character, at scale 1.
pub(super) const HEIGHT: u32 = 7;

/// Seven rows of five bits, the leftmost pixel in the highest bit; an unknown character is blank.
fn glyph(c: char) -> [u8; 7] {
    match c {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        '+' => [0b00000, 0b00100, 0b00100, 0b11111, 0b00100, 0b00100, 0b00000],
        '-' => [0b00000, 0b00000, 0b00000, 0b11111, 0b00000, 0b00000, 0b00000],
        '.' => [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00110, 0b00110],
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01110],
        'H' => [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'I' => [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        _ => [0; 7],
    }
}

/// Width of a line in pixels, without the gap after its last character.
pub(super) fn width(text: &str, scale: u32) -> u32 {
    ((text.chars().count() as u32 * ADVANCE).max(1) - 1) * scale
}

/// Writes a line with its upper left corner at `(x, y)`; what falls outside the picture is left out.
pub(super) fn write(picture: &mut RgbImage, text: &str, (x, y): (u32, u32), scale: u32, colour: [u8; 3]) {
    for (i, c) in text.chars().enumerate() {
        for (row, bits) in glyph(c).into_iter().enumerate() {
            for column in (0..5_u32).filter(|column| bits & (0b10000 >> column) != 0) {
                let left = x + (i as u32 * ADVANCE + column) * scale;
                let top = y + row as u32 * scale;
                for (dx, dy) in (0..scale).flat_map(|dx| (0..scale).map(move |dy| (dx, dy))) {
                    if let Some(pixel) = picture.get_pixel_mut_checked(left + dx, top + dy) {
                        *pixel = Rgb(colour);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_fit_their_cells_and_differ() {
        let characters = "0123456789+-.ACEGHILMNRU";
        let mut glyphs: Vec<[u8; 7]> = characters.chars().map(glyph).collect();
        assert!(glyphs.iter().flatten().all(|&row| row < 32));
        glyphs.sort_unstable();
        glyphs.dedup();
        assert_eq!(glyphs.len(), characters.len());
    }

    #[test]
    fn writing_outside_the_picture_is_harmless() {
        let mut picture = RgbImage::new(8, 8);
        write(&mut picture, "-8", (4, 3), 3, [255; 3]);
        assert_eq!(width("-8", 3), 33);
    }
}
