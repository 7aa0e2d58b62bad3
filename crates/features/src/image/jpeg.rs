//! What the headers of a JPEG file tell about its compression (ITU-T T.81).

/// Quantisation and layout of a JPEG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpegInfo {
    /// Width in pixels as the frame header claims.
    pub width: u16,
    /// Height in pixels as the frame header claims.
    pub height: u16,
    /// Colour components: 1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK.
    pub components: u8,
    /// Quantisation table of the first component in zigzag order.
    pub luma_table: Option<[u16; 64]>,
    /// Quantisation table of the second component in zigzag order.
    pub chroma_table: Option<[u16; 64]>,
    /// How much coarser the second component is sampled, horizontally and vertically: `(2, 2)` is 4:2:0.
    pub subsampling: (u8, u8),
    /// Whether the file is progressive.
    pub progressive: bool,
    /// Number of scans up to the end of the image.
    pub scans: usize,
    /// Whether the end-of-image marker was found.
    pub complete: bool,
}

/// The luminance table of ITU-T T.81, table K.1, in zigzag order; the IJG library scales it by its quality.
const STANDARD_LUMA: [u16; 64] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40,
    58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103,
    104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];

impl JpegInfo {
    /// Reads the headers; `None` if there is no frame header.
    ///
    /// Walks the markers up to the end of the image once, whatever the file claims.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut tables = [None; 4];
        let mut info: Option<(Self, [u8; 2])> = None;
        let mut scans = 0;
        let mut complete = false;
        let mut at = 2;
        while let Some(marker) = next_marker(bytes, &mut at) {
            match marker {
                0xd9 => {
                    complete = true;
                    break;
                }
                // Markers without a segment.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let Some(&[high, low]) = bytes.get(at..at + 2) else { break };
            let len = usize::from(u16::from_be_bytes([high, low]));
            let segment = bytes.get(at + 2..at + len.max(2)).unwrap_or(&[]);
            match marker {
                0xdb => quantisation(segment, &mut tables),
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf if info.is_none() => {
                    info = frame(segment, marker);
                }
                0xda => scans += 1,
                _ => {}
            }
            at += len.max(2);
        }
        let (mut info, selectors) = info?;
        let table = |i: u8| tables.get(usize::from(i)).copied().flatten();
        info.luma_table = table(selectors[0]);
        info.chroma_table = if info.components >= 3 { table(selectors[1]) } else { None };
        info.scans = scans;
        info.complete = complete;
        Some(info)
    }

    /// The quality setting, 1 to 100, whose IJG luminance table is nearest to this file's.
    ///
    /// Exact for files of libjpeg and its kin, an equivalent for the tables of cameras and editors.
    pub fn quality(&self) -> Option<u8> {
        let table = self.luma_table?;
        (1..=100_u8).min_by_key(|&q| {
            let wanted = ijg_luma_table(q);
            table.iter().zip(wanted).map(|(&a, b)| u64::from(a.abs_diff(b))).sum::<u64>()
        })
    }

    /// The usual notation of the chroma subsampling.
    pub fn subsampling_name(&self) -> &'static str {
        match (self.components, self.subsampling) {
            (1, _) => "4:0:0",
            (_, (1, 1)) => "4:4:4",
            (_, (2, 1)) => "4:2:2",
            (_, (2, 2)) => "4:2:0",
            (_, (1, 2)) => "4:4:0",
            (_, (4, 1)) => "4:1:1",
            _ => "other",
        }
    }
}

/// The luminance table of libjpeg at a quality of 1 to 100, in zigzag order.
pub fn ijg_luma_table(quality: u8) -> [u16; 64] {
    let quality = u32::from(quality.clamp(1, 100));
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    STANDARD_LUMA.map(|v| ((u32::from(v) * scale + 50) / 100).clamp(1, 255) as u16)
}

/// Moves `at` behind the next marker and returns its code.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        let ff = rest.iter().position(|&b| b == 0xff)?;
        *at += ff + 1;
        match *bytes.get(*at)? {
            // A stuffed zero inside coded data, or fill.
            0 => *at += 1,
            0xff => {}
            code => {
                *at += 1;
                return Some(code);
            }
        }
    }
}

fn quantisation(mut segment: &[u8], tables: &mut [Option<[u16; 64]>; 4]) {
    while let Some((&selector, rest)) = segment.split_first() {
        let width = if selector >> 4 == 0 { 1 } else { 2 };
        let Some((values, rest)) = rest.split_at_checked(64 * width) else { return };
        let mut table = [0; 64];
        for (slot, value) in table.iter_mut().zip(values.chunks_exact(width)) {
            *slot = value.iter().fold(0, |n, &b| (n << 8) | u16::from(b));
        }
        if let Some(slot) = tables.get_mut(usize::from(selector & 15)) {
            *slot = Some(table);
        }
        segment = rest;
    }
}

fn frame(segment: &[u8], marker: u8) -> Option<(JpegInfo, [u8; 2])> {
    let &[_, h1, h0, w1, w0, components, ..] = segment else { return None };
    let parts: Vec<[u8; 3]> = segment
        .get(6..)?
        .chunks_exact(3)
        .take(usize::from(components))
        .filter_map(|c| c.try_into().ok())
        .collect();
    let &[_, first, first_table] = parts.first()?;
    let &[_, second, second_table] = parts.get(1).or(parts.first())?;
    let ratio = |shift: u8| (((first >> shift) & 15) / ((second >> shift) & 15).max(1)).max(1);
    let info = JpegInfo {
        width: u16::from_be_bytes([w1, w0]),
        height: u16::from_be_bytes([h1, h0]),
        components,
        luma_table: None,
        chroma_table: None,
        subsampling: (ratio(4), ratio(0)),
        progressive: matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce),
        scans: 0,
        complete: false,
    };
    Some((info, [first_table, second_table]))
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use proptest::prelude::*;

    use super::*;

    fn jpeg(quality: u8, sampling: SamplingFactor, progressive: bool) -> Vec<u8> {
        let rgb: Vec<u8> = (0..48 * 40 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, quality);
        encoder.set_sampling_factor(sampling);
        encoder.set_progressive(progressive);
        encoder.encode(&rgb, 48, 40, ColorType::Rgb).unwrap();
        out
    }

    #[test]
    fn reads_what_the_encoder_wrote() {
        for quality in [1, 10, 50, 75, 90, 100] {
            let info = JpegInfo::parse(&jpeg(quality, SamplingFactor::F_2_2, false)).unwrap();
            assert_eq!((info.width, info.height, info.components), (48, 40, 3));
            assert_eq!(info.quality(), Some(quality));
            assert_eq!(info.luma_table, Some(ijg_luma_table(quality)));
            assert_eq!(info.subsampling_name(), "4:2:0");
            assert!(info.complete && !info.progressive);
            assert_eq!(info.scans, 1);
        }
        let info = JpegInfo::parse(&jpeg(80, SamplingFactor::F_1_1, true)).unwrap();
        assert_eq!(info.subsampling_name(), "4:4:4");
        assert!(info.progressive && info.complete && info.scans > 1);
    }

    #[test]
    fn notices_a_missing_end() {
        let bytes = jpeg(80, SamplingFactor::F_2_1, false);
        let info = JpegInfo::parse(&bytes[..bytes.len() - 20]).unwrap();
        assert!(!info.complete);
        assert_eq!(info.subsampling_name(), "4:2:2");
        assert_eq!(JpegInfo::parse(&bytes[..20]), None);
    }

    #[test]
    fn standard_quality_table() {
        // PIL.Image.new('RGB', (8, 8)).save(f, 'JPEG', quality=75)
        // print([PIL.Image.open(f).quantization[0][k] for k in [0, 1, 8, 16, 9, 2, 3, 10]])
        assert_eq!(ijg_luma_table(75)[..8], [8, 6, 6, 7, 6, 5, 8, 7]);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(prop_oneof![Just(0xff_u8), 0xc0..=0xdf_u8, any::<u8>()], 0..300)) {
            let _ = JpegInfo::parse(&bytes);
        }
    }
}
