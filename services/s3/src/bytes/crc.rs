//! CRC-32C and CRC-64/NVME, and the CRC of two texts put together.
//!
//! Both are reflected, start with all bits set and end inverted. CRC-32 itself comes from a crate.

/// A polynomial, reflected, and its width in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Polynomial {
    bits: u32,
    reflected: u64,
}

pub(crate) const CRC32: Polynomial = Polynomial { bits: 32, reflected: 0xedb8_8320 };
pub(crate) const CRC32C: Polynomial = Polynomial { bits: 32, reflected: 0x82f6_3b78 };
pub(crate) const CRC64NVME: Polynomial = Polynomial { bits: 64, reflected: 0x9a6c_9329_ac4b_c9b5 };

type Tables = [[u64; 256]; 8];

const fn tables(polynomial: Polynomial) -> Tables {
    let mut out = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ polynomial.reflected } else { crc >> 1 };
            bit += 1;
        }
        out[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = out[table - 1][byte];
            out[table][byte] = (before >> 8) ^ out[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    out
}

static CRC32C_TABLES: Tables = tables(CRC32C);
static CRC64NVME_TABLES: Tables = tables(CRC64NVME);

impl Polynomial {
    const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }
}

/// A CRC in the making.
#[derive(Clone)]
pub(crate) struct Crc {
    tables: &'static Tables,
    mask: u64,
    state: u64,
}

impl Crc {
    pub fn crc32c() -> Self {
        Self { tables: &CRC32C_TABLES, mask: CRC32C.mask(), state: CRC32C.mask() }
    }
    pub fn crc64nvme() -> Self {
        Self { tables: &CRC64NVME_TABLES, mask: CRC64NVME.mask(), state: CRC64NVME.mask() }
    }
    /// Eight bytes at a time.
    pub fn update(&mut self, bytes: &[u8]) {
        let t = self.tables;
        let mut crc = self.state;
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let x = crc ^ u64::from_le_bytes(*eight);
            crc = t[7][(x & 0xff) as usize]
                ^ t[6][(x >> 8 & 0xff) as usize]
                ^ t[5][(x >> 16 & 0xff) as usize]
                ^ t[4][(x >> 24 & 0xff) as usize]
                ^ t[3][(x >> 32 & 0xff) as usize]
                ^ t[2][(x >> 40 & 0xff) as usize]
                ^ t[1][(x >> 48 & 0xff) as usize]
                ^ t[0][(x >> 56) as usize];
        }
        for byte in rest {
            crc = t[0][((crc ^ u64::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
        }
        self.state = crc;
    }
    pub fn finish(&self) -> u64 {
        self.state ^ self.mask
    }
}

/// The CRC of two texts put together, from theirs and the length of the second.
pub(crate) fn combine(polynomial: Polynomial, first: u64, second: u64, second_len: u64) -> u64 {
    let bits = polynomial.bits as usize;
    // The operator "append one zero bit", as a matrix over GF(2); squared it appends 2, 4, 8, …
    let mut zeros = [0u64; 64];
    zeros[0] = polynomial.reflected;
    for (row, bit) in zeros.iter_mut().skip(1).zip(0..bits - 1) {
        *row = 1 << bit;
    }
    let times = |matrix: &[u64; 64], mut vector: u64| {
        let mut sum = 0;
        let mut row = 0;
        while vector != 0 {
            if vector & 1 == 1 {
                sum ^= matrix[row];
            }
            vector >>= 1;
            row += 1;
        }
        sum
    };
    let square = |matrix: &[u64; 64]| {
        let mut out = [0; 64];
        for (row, vector) in out.iter_mut().zip(matrix).take(bits) {
            *row = times(matrix, *vector);
        }
        out
    };
    for _ in 0..3 {
        zeros = square(&zeros);
    }
    let (mut crc, mut left) = (first, second_len);
    while left != 0 {
        if left & 1 == 1 {
            crc = times(&zeros, crc);
        }
        zeros = square(&zeros);
        left >>= 1;
    }
    crc ^ second
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mut crc: Crc, bytes: &[u8]) -> u64 {
        crc.update(bytes);
        crc.finish()
    }

    #[test]
    fn check_values() {
        assert_eq!(of(Crc::crc32c(), b"123456789"), 0xe306_9283);
        assert_eq!(of(Crc::crc64nvme(), b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(of(Crc::crc64nvme(), b""), 0);
    }

    #[test]
    fn in_pieces_and_combined() {
        let text: Vec<u8> = (0..1000u32).map(|i| (i * 7 % 251) as u8).collect();
        for cut in [0, 1, 8, 333, 999, 1000] {
            let (a, b) = text.split_at(cut);
            let mut pieces = Crc::crc64nvme();
            pieces.update(a);
            pieces.update(b);
            assert_eq!(pieces.finish(), of(Crc::crc64nvme(), &text));
            let len = b.len() as u64;
            assert_eq!(combine(CRC64NVME, of(Crc::crc64nvme(), a), of(Crc::crc64nvme(), b), len), of(Crc::crc64nvme(), &text));
            assert_eq!(combine(CRC32C, of(Crc::crc32c(), a), of(Crc::crc32c(), b), len), of(Crc::crc32c(), &text));
            let crc32 = |bytes: &[u8]| u64::from(crc32fast::hash(bytes));
            assert_eq!(combine(CRC32, crc32(a), crc32(b), len), crc32(&text));
        }
    }
}
