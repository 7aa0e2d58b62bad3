//! ITU-T G.711 companding, computed by formula; the values are those of the Recommendation's tables.

/// Encodes a 16-bit sample by the mu-law.
pub fn mu_law_encode(sample: i16) -> u8 {
    const BIAS: i32 = 132;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + BIAS;
    let exponent = magnitude.ilog2() as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) | mantissa) as u8
}

/// Decodes a mu-law code to 16 bits.
pub fn mu_law_decode(code: u8) -> i16 {
    let code = !code;
    let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 0x0f));
    let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
    if code & 0x80 == 0 { magnitude as i16 } else { -magnitude as i16 }
}

/// Encodes a 16-bit sample by the A-law.
pub fn a_law_encode(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, i32::from(!sample)) } else { (0x80, i32::from(sample)) };
    let exponent = (magnitude.max(1).ilog2() as i32 - 7).max(0);
    let mantissa = (magnitude >> if exponent == 0 { 4 } else { exponent + 3 }) & 0x0f;
    ((sign | (exponent << 4) | mantissa) ^ 0x55) as u8
}

/// Decodes an A-law code to 16 bits.
pub fn a_law_decode(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 0x0f));
    let base = (mantissa << 4) + 8;
    let magnitude = if exponent == 0 { base } else { (base + 256) << (exponent - 1) };
    if code & 0x80 == 0 { -magnitude as i16 } else { magnitude as i16 }
}

/// The two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// North America and Japan.
    Mu,
    /// Everywhere else.
    A,
}

impl Law {
    /// Codes and decodes one sample, rounded to 16 bits first.
    pub fn round_trip(self, sample: f32) -> f32 {
        let x = (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        let y = match self {
            Self::Mu => mu_law_decode(mu_law_encode(x)),
            Self::A => a_law_decode(a_law_encode(x)),
        };
        f32::from(y) / 32_768.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decode_to_the_standard_values() {
        let mu =
            [(0x00, -32_124), (0x80, 32_124), (0x0f, -16_764), (0xff, 0), (0x7f, 0), (0xfe, 8), (0xef, 132)];
        for (code, value) in mu {
            assert_eq!(mu_law_decode(code), value, "{code:#x}");
        }
        let a =
            [(0x55, -8), (0xd5, 8), (0x2a, -32_256), (0xaa, 32_256), (0xd4, 24), (0xc5, 264), (0xf5, 528)];
        for (code, value) in a {
            assert_eq!(a_law_decode(code), value, "{code:#x}");
        }
    }

    #[test]
    fn codes_survive_and_samples_go_to_the_nearest_value() {
        for code in 0..=255_u8 {
            // 0x7f is the mu-law's negative zero.
            if code != 0x7f {
                assert_eq!(mu_law_encode(mu_law_decode(code)), code);
            }
            assert_eq!(a_law_encode(a_law_decode(code)), code);
        }
        for x in (i16::MIN..=i16::MAX).step_by(7) {
            let step = (i32::from(x).abs() / 16).max(16);
            assert!((i32::from(mu_law_decode(mu_law_encode(x))) - i32::from(x)).abs() <= step, "{x}");
            assert!((i32::from(a_law_decode(a_law_encode(x))) - i32::from(x)).abs() <= step, "{x}");
        }
    }
}
