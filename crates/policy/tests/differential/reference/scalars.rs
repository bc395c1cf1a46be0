//! Numbers, dates, addresses and bytes, each read in the most pedestrian way.

/// Billionths.
pub(super) fn decimal(text: &str) -> Option<i128> {
    let (sign, digits) = match text.chars().next()? {
        '-' => (-1, &text[1..]),
        '+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = digits.split('.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or(""));
    let fine = parts.next().is_none() && !(whole.is_empty() && fraction.is_empty()) && fraction.len() <= 9 && whole.len() <= 18;
    if !fine || !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(sign * (whole * 1_000_000_000 + fraction))
}

/// Nanoseconds since 1970: counts the days one year and one month at a time.
pub(super) fn instant(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let number = |text: &str, len: usize| -> Option<i128> {
        if text.len() == len && text.chars().all(|c| c.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if !unsigned.is_empty() && unsigned.len() != 4 && unsigned.chars().all(|c| c.is_ascii_digit()) {
        return text.parse::<i128>().ok().map(|seconds| seconds * SECOND);
    }
    let (date, time) = text.split_once(['T', 't']).unwrap_or((text, "00:00"));
    let date: Vec<&str> = date.split('-').collect();
    let (year, month, day) = match date.as_slice() {
        [year] => (number(year, 4)?, 1, 1),
        [year, month] => (number(year, 4)?, number(month, 2)?, 1),
        [year, month, day] => (number(year, 4)?, number(month, 2)?, number(day, 2)?),
        _ => return None,
    };
    let leap = |year: i128| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = |year, month| match month {
        2 => 28 + i128::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || day < 1 || day > length(year, month) {
        return None;
    }
    let mut days = day - 1;
    days += (1..month).map(|month| length(year, month)).sum::<i128>();
    days += (1970..year).map(|year| 365 + i128::from(leap(year))).sum::<i128>();
    days -= (year..1970).map(|year| 365 + i128::from(leap(year))).sum::<i128>();
    let (clock, east) = match (time.strip_suffix(['Z', 'z']), time.find(['+', '-'])) {
        (Some(clock), _) => (clock, 0),
        (None, None) => (time, 0),
        (None, Some(at)) => {
            let zone = time[at + 1..].replacen(':', "", 1);
            let (hours, minutes) = (number(zone.get(..2)?, 2)?, number(zone.get(2..)?, 2)?);
            let east = hours * 3600 + minutes * 60;
            (&time[..at], if &time[at..=at] == "-" { -east } else { east })
        }
    };
    let clock: Vec<&str> = clock.split(':').collect();
    let (hour, minute, seconds) = match clock.as_slice() {
        [hour, minute] => (number(hour, 2)?, number(minute, 2)?, 0),
        [hour, minute, seconds] => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
            (number(hour, 2)?, number(minute, 2)?, number(whole, 2)? * SECOND + number(&fraction, 9)?)
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || seconds >= 60 * SECOND {
        return None;
    }
    Some((days * 86_400 + hour * 3600 + minute * 60 - east) * SECOND + seconds)
}

/// The bits of an address, most significant first.
fn bits(text: &str) -> Option<Vec<bool>> {
    let groups: Vec<(u32, u32)> = if text.contains(':') {
        let sixteen = |text: &str| -> Option<Vec<(u32, u32)>> {
            let parts = text.split(':').filter(|part| !part.is_empty());
            parts.map(|part| u32::from_str_radix(part, 16).ok().filter(|_| part.len() <= 4).map(|group| (group, 16))).collect()
        };
        match text.split_once("::") {
            None => sixteen(text)?,
            Some((head, tail)) => {
                let (mut head, tail) = (sixteen(head)?, sixteen(tail)?);
                head.resize(8 - tail.len(), (0, 16));
                head.into_iter().chain(tail).collect()
            }
        }
    } else {
        text.split('.').map(|part| part.parse::<u8>().ok().map(|group| (group.into(), 8))).collect::<Option<_>>()?
    };
    let bits: Vec<bool> = groups.iter().flat_map(|(group, width)| (0..*width).rev().map(move |at| group >> at & 1 == 1)).collect();
    [32, 128].contains(&bits.len()).then_some(bits)
}

pub(super) fn ip(have: &str, want: &str) -> bool {
    let (base, length) = match want.split_once('/') {
        None => (want, None),
        Some((base, length)) => (base, Some(length.parse::<usize>())),
    };
    let (Some(have), Some(base)) = (bits(have), bits(base)) else { return false };
    match length.unwrap_or(Ok(base.len())) {
        Ok(length) => have.len() == base.len() && length <= base.len() && have[..length] == base[..length],
        Err(_) => false,
    }
}

/// What base64 stands for, six bits at a time.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut stream = Vec::new();
    for c in digits.chars() {
        let six = ALPHABET.find(c)?;
        stream.extend((0..6).rev().map(|at| six >> at & 1 == 1));
    }
    let whole = stream.len() / 8 * 8;
    if stream[whole..].contains(&true) {
        return None;
    }
    Some(stream[..whole].chunks(8).map(|eight| eight.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect())
}
