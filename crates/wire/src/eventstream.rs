//! Frames of `application/vnd.amazon.eventstream`: length-prefixed headers and payload with two checksums.

/// Payload of one frame. AWS's limit for `InvokeEndpointWithResponseStream` is on the sum; clients refuse
/// frames past 16 MiB.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// One frame. `headers` are text headers such as `:message-type` = `event`, `:event-type` = `PayloadPart`,
/// `:content-type` = `application/octet-stream`. Names longer than 255 bytes or values longer than 65,535 are left
/// out. A payload longer than 1 MiB becomes several frames with the same headers.
#[must_use]
pub fn event_frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (name, value) in headers {
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len())) else { continue };
        packed.push(name_len);
        packed.extend_from_slice(name.as_bytes());
        packed.push(7); // the type: text
        packed.extend_from_slice(&value_len.to_be_bytes());
        packed.extend_from_slice(value.as_bytes());
    }
    let mut out = Vec::with_capacity(payload.len() + packed.len() + 16);
    if payload.is_empty() {
        one(&packed, payload, &mut out);
    }
    for part in payload.chunks(MAX_PAYLOAD) {
        one(&packed, part, &mut out);
    }
    out
}

fn one(headers: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // Both are bounded far below 4 GiB: few headers of 64 KiB, payloads of 1 MiB.
    out.extend_from_slice(&((headers.len() + payload.len() + 16) as u32).to_be_bytes());
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let frame = event_frame(&[(":event-type", "PayloadPart")], b"hi");
        assert_eq!(frame.len(), 16 + 2 + (1 + 11 + 1 + 2 + 11));
        assert_eq!(frame[..8], [0, 0, 0, 44, 0, 0, 0, 26]);
        assert_eq!(frame[8..12], crc32fast::hash(&frame[..8]).to_be_bytes());
        assert_eq!(frame[12], 11);
        assert_eq!(frame[24..27], [7, 0, 11]);
        assert_eq!(&frame[38..40], b"hi");
        assert_eq!(frame[40..], crc32fast::hash(&frame[..40]).to_be_bytes());
    }

    #[test]
    fn large_payloads_are_split() {
        let frames = |n: usize| event_frame(&[], &vec![0; n]).len() - n;
        assert_eq!((frames(0), frames(MAX_PAYLOAD), frames(MAX_PAYLOAD + 1)), (16, 16, 32));
    }
}
