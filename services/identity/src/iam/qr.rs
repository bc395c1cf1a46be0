//! A QR code as a PNG picture: what authenticator apps scan.
//!
//! The picture has one bit a pixel and no filter; a library for pictures would be larger than all of IAM.
//! Source: "Portable Network Graphics (PNG) Specification", W3C.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use qrcode::{Color, QrCode};
use tenantry_core::{AwsError, Result};

/// Pixels of a module.
const SCALE: usize = 5;
/// Modules of white around it: the standard's quiet zone.
const MARGIN: usize = 4;

/// The picture of a text.
///
/// # Errors
/// Internal, where the text is longer than a QR code holds (2,331 bytes).
pub(crate) fn png(text: &str) -> Result<Vec<u8>> {
    let code = QrCode::new(text).map_err(AwsError::internal)?;
    let (modules, width) = (code.to_colors(), code.width());
    let side = (width + 2 * MARGIN) * SCALE;
    let mut pixels = Vec::with_capacity(side * (side / 8 + 2));
    for y in 0..side {
        // The row's filter: none.
        pixels.push(0);
        let mut row = vec![0xff_u8; side.div_ceil(8)];
        for x in 0..side {
            let place = |at: usize| (at / SCALE).checked_sub(MARGIN).filter(|at| *at < width);
            let dark = place(x).zip(place(y)).is_some_and(|(x, y)| modules[y * width + x] == Color::Dark);
            if dark {
                row[x / 8] &= !(0x80 >> (x % 8));
            }
        }
        pixels.extend(row);
    }
    let size = u32::try_from(side).map_err(AwsError::internal)?.to_be_bytes();
    // Depth 1, grey, and the only methods that there are.
    let header = [&size[..], &size[..], &[1, 0, 0, 0, 0]].concat();
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = deflate.write_all(&pixels).and_then(|()| deflate.finish()).map_err(AwsError::internal)?;
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", packed), (b"IEND", Vec::new())] {
        chunk(&mut out, name, &data);
    }
    Ok(out)
}

fn chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(name);
    out.extend(data);
    let mut sum = crc32fast::Hasher::new();
    sum.update(name);
    sum.update(data);
    out.extend(sum.finalize().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_picture_holds_the_code() {
        let text = "otpauth://totp/ann@111122223333?secret=GEZDGNBVGY3TQOJQ";
        let png = png(text).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        let side = number(16);
        assert_eq!((&png[12..16], side), (b"IHDR".as_slice(), number(20)));
        let length = number(33);
        assert_eq!(&png[37..41], b"IDAT");
        let mut pixels = Vec::new();
        flate2::read::ZlibDecoder::new(&png[41..41 + length]).read_to_end(&mut pixels).unwrap();
        let row = side.div_ceil(8) + 1;
        assert_eq!(pixels.len(), row * side);
        let dark = |x: usize, y: usize| pixels[y * row + 1 + x / 8] & (0x80 >> (x % 8)) == 0;
        let code = QrCode::new(text).unwrap();
        for y in 0..code.width() {
            for x in 0..code.width() {
                let middle = |at: usize| (at + MARGIN) * SCALE + SCALE / 2;
                assert_eq!(dark(middle(x), middle(y)), code[(x, y)] == Color::Dark, "{x} {y}");
            }
        }
        assert!((0..side).all(|at| !dark(at, 0) && !dark(0, at)), "a margin");
    }

    #[test]
    fn too_long_is_no_picture() {
        assert!(png(&"x".repeat(3000)).is_err());
    }
}
