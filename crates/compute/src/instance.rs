//! The `ml.*` instance types: what each offers, and what of it this host can give.
//!
//! Most families are regular: processors follow from the size, memory from the processors. Those that are not
//! are listed. Figures follow AWS's "Amazon EC2 instance types"; accelerators other than GPUs are not counted. The local
//! engine has no GPU to give: a type with GPUs runs on the processor, and says so through [`InstanceType::gpus`].

use std::fs;

use crate::workload::Limits;

/// What a type offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceType {
    /// Virtual processors.
    pub vcpu: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// GPUs.
    pub gpus: u32,
    /// Memory of each GPU, in GiB.
    pub gpu_memory_gib: u32,
}

/// Families whose memory is a fixed number of GiB per processor.
const REGULAR: &[(u64, &[&str])] = &[
    (2, &["c5", "c5d", "c6g", "c6gd", "c6gn", "c6i", "c6id", "c6in", "c7g", "c7i", "c8g", "inf1"]),
    (4, &["m4", "m5", "m5d", "m6g", "m6gd", "m6i", "m6id", "m7i", "m8g", "inf2", "trn1", "trn1n"]),
    (8, &["r5", "r5d", "r6g", "r6gd", "r6i", "r6id", "r7gd", "r7i", "r8g", "i3en"]),
];

/// Sizes of the regular families: multiples of four processors.
const SIZES: &[u32] = &[1, 2, 3, 4, 6, 8, 9, 10, 12, 16, 18, 24, 32, 48];

/// The rest: family, size, processors, GiB (tenths), GPUs, GiB per GPU.
#[rustfmt::skip]
const IRREGULAR: &[(&str, &str, u32, u64, u32, u32)] = &[
    ("t2", "medium", 2, 40, 0, 0), ("t2", "large", 2, 80, 0, 0), ("t2", "xlarge", 4, 160, 0, 0), ("t2", "2xlarge", 8, 320, 0, 0),
    ("t3", "micro", 2, 10, 0, 0), ("t3", "small", 2, 20, 0, 0), ("t3", "medium", 2, 40, 0, 0), ("t3", "large", 2, 80, 0, 0),
    ("t3", "xlarge", 4, 160, 0, 0), ("t3", "2xlarge", 8, 320, 0, 0),
    ("c4", "large", 2, 38, 0, 0), ("c4", "xlarge", 4, 75, 0, 0), ("c4", "2xlarge", 8, 150, 0, 0), ("c4", "4xlarge", 16, 300, 0, 0),
    ("c4", "8xlarge", 36, 600, 0, 0),
    ("c5n", "large", 2, 53, 0, 0), ("c5n", "xlarge", 4, 105, 0, 0), ("c5n", "2xlarge", 8, 210, 0, 0), ("c5n", "4xlarge", 16, 420, 0, 0),
    ("c5n", "9xlarge", 36, 960, 0, 0), ("c5n", "18xlarge", 72, 1920, 0, 0),
    ("p2", "xlarge", 4, 610, 1, 12), ("p2", "8xlarge", 32, 4880, 8, 12), ("p2", "16xlarge", 64, 7320, 16, 12),
    ("p3", "2xlarge", 8, 610, 1, 16), ("p3", "8xlarge", 32, 2440, 4, 16), ("p3", "16xlarge", 64, 4880, 8, 16),
    ("p3dn", "24xlarge", 96, 7680, 8, 32), ("p4d", "24xlarge", 96, 11520, 8, 40), ("p4de", "24xlarge", 96, 11520, 8, 80),
    ("p5", "4xlarge", 16, 2560, 1, 80), ("p5", "48xlarge", 192, 20480, 8, 80), ("p5e", "48xlarge", 192, 20480, 8, 141),
    ("p5en", "48xlarge", 192, 20480, 8, 141), ("p6-b200", "48xlarge", 192, 20480, 8, 179), ("p6-b300", "48xlarge", 192, 40960, 8, 268),
    ("p6e-gb200", "36xlarge", 144, 9600, 4, 185),
    ("g4dn", "xlarge", 4, 160, 1, 16), ("g4dn", "2xlarge", 8, 320, 1, 16), ("g4dn", "4xlarge", 16, 640, 1, 16),
    ("g4dn", "8xlarge", 32, 1280, 1, 16), ("g4dn", "12xlarge", 48, 1920, 4, 16), ("g4dn", "16xlarge", 64, 2560, 1, 16),
    ("g5", "xlarge", 4, 160, 1, 24), ("g5", "2xlarge", 8, 320, 1, 24), ("g5", "4xlarge", 16, 640, 1, 24), ("g5", "8xlarge", 32, 1280, 1, 24),
    ("g5", "12xlarge", 48, 1920, 4, 24), ("g5", "16xlarge", 64, 2560, 1, 24), ("g5", "24xlarge", 96, 3840, 4, 24), ("g5", "48xlarge", 192, 7680, 8, 24),
    ("g6", "xlarge", 4, 160, 1, 24), ("g6", "2xlarge", 8, 320, 1, 24), ("g6", "4xlarge", 16, 640, 1, 24), ("g6", "8xlarge", 32, 1280, 1, 24),
    ("g6", "12xlarge", 48, 1920, 4, 24), ("g6", "16xlarge", 64, 2560, 1, 24), ("g6", "24xlarge", 96, 3840, 4, 24), ("g6", "48xlarge", 192, 7680, 8, 24),
    ("g6e", "xlarge", 4, 320, 1, 48), ("g6e", "2xlarge", 8, 640, 1, 48), ("g6e", "4xlarge", 16, 1280, 1, 48), ("g6e", "8xlarge", 32, 2560, 1, 48),
    ("g6e", "12xlarge", 48, 3840, 4, 48), ("g6e", "16xlarge", 64, 5120, 1, 48), ("g6e", "24xlarge", 96, 7680, 4, 48),
    ("g6e", "48xlarge", 192, 15360, 8, 48),
    ("g7e", "2xlarge", 8, 640, 1, 96), ("g7e", "4xlarge", 16, 1280, 1, 96), ("g7e", "8xlarge", 32, 2560, 1, 96),
    ("g7e", "12xlarge", 48, 5120, 2, 96), ("g7e", "24xlarge", 96, 10240, 4, 96), ("g7e", "48xlarge", 192, 20480, 8, 96),
    ("gr6", "4xlarge", 16, 1280, 1, 24), ("gr6", "8xlarge", 32, 2560, 1, 24),
    ("dl1", "24xlarge", 96, 7680, 0, 0), ("trn2", "3xlarge", 12, 1280, 0, 0), ("trn2", "48xlarge", 192, 20480, 0, 0),
];

/// What `ml.<family>.<size>` offers; `None` when there is no such type.
#[must_use]
pub fn instance(name: &str) -> Option<InstanceType> {
    let (family, size) = name.strip_prefix("ml.")?.split_once('.')?;
    if let Some((_, _, vcpu, tenths, gpus, gpu_memory_gib)) = IRREGULAR.iter().copied().find(|row| (row.0, row.1) == (family, size)) {
        return Some(InstanceType { vcpu, memory_mib: tenths * 1024 / 10, gpus, gpu_memory_gib });
    }
    let (gib_per_vcpu, _) = REGULAR.iter().find(|(_, families)| families.contains(&family))?;
    let vcpu = match size {
        "medium" => 1,
        "large" => 2,
        "xlarge" => 4,
        _ => {
            let number = size.strip_suffix("xlarge")?;
            let times: u32 = number.parse().ok()?;
            (number == times.to_string() && times > 1 && SIZES.contains(&times)).then_some(4 * times)?
        }
    };
    Some(InstanceType { vcpu, memory_mib: u64::from(vcpu) * gib_per_vcpu * 1024, gpus: 0, gpu_memory_gib: 0 })
}

/// The sizes below `2xlarge` that regular families have.
const SMALL: [&str; 3] = ["medium", "large", "xlarge"];

/// Every name that [`instance`] knows.
#[must_use]
pub fn names() -> Vec<String> {
    let sizes = || {
        SMALL.iter().map(|size| (*size).to_owned()).chain(SIZES.iter().filter(|times| **times > 1).map(|times| format!("{times}xlarge")))
    };
    let families = REGULAR.iter().flat_map(|(_, families)| families.iter());
    let regular = families.flat_map(|family| sizes().map(move |size| format!("ml.{family}.{size}")));
    regular.chain(IRREGULAR.iter().map(|row| format!("ml.{}.{}", row.0, row.1))).collect()
}

/// What this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostCapacity {
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Processors.
    pub cpus: u32,
}

impl HostCapacity {
    /// Reads it from the kernel; 2 GiB and one processor where that fails.
    #[must_use]
    pub fn read() -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        Self { memory_bytes: kib.map_or(2 << 30, |kib| kib * 1024), cpus }
    }
}

/// Processes and threads of one host of a workload: what AWS's container agents commonly allow.
pub const MAX_PIDS: u64 = 4096;
/// Largest `/tmp`; it is memory.
const MAX_TMP: u64 = 4 << 30;

/// The limits of one instance on this host: the type's, but at most 80 % of the host's memory and all of its processors.
#[must_use]
pub fn limits_on(host: HostCapacity, kind: InstanceType) -> Limits {
    let memory_bytes = (kind.memory_mib << 20).min(host.memory_bytes / 5 * 4);
    let cpu_millis = u64::from(kind.vcpu.min(host.cpus)) * 1000;
    Limits { memory_bytes, cpu_millis, pids: MAX_PIDS, tmp_bytes: (memory_bytes / 2).min(MAX_TMP), disk_bytes: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_figures() {
        for (name, vcpu, gib, gpus) in [
            ("ml.m5.large", 2, 8, 0),
            ("ml.m5.xlarge", 4, 16, 0),
            ("ml.m5.24xlarge", 96, 384, 0),
            ("ml.m4.10xlarge", 40, 160, 0),
            ("ml.c5.9xlarge", 36, 72, 0),
            ("ml.r5.2xlarge", 8, 64, 0),
            ("ml.t3.medium", 2, 4, 0),
            ("ml.p3.16xlarge", 64, 488, 8),
            ("ml.g4dn.12xlarge", 48, 192, 4),
            ("ml.inf1.6xlarge", 24, 48, 0),
            ("ml.trn1.32xlarge", 128, 512, 0),
            ("ml.c8g.medium", 1, 2, 0),
        ] {
            let kind = instance(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((kind.vcpu, kind.memory_mib, kind.gpus), (vcpu, gib * 1024, gpus), "{name}");
        }
        for name in ["m5.large", "ml.m5", "ml.m5.5xlarge", "ml.m5.1xlarge", "ml.m5.02xlarge", "ml.zz.large", "ml.m5.", "ml..large", ""] {
            assert_eq!(instance(name), None, "{name}");
        }
    }

    #[test]
    fn all_names_are_known() {
        let all = names();
        assert!(all.iter().all(|name| instance(name).is_some()), "{all:?}");
        assert!(["ml.m5.xlarge", "ml.c8g.medium", "ml.g5.48xlarge"].iter().all(|name| all.iter().any(|known| known == name)));
        assert_eq!(all.len(), all.iter().collect::<std::collections::BTreeSet<_>>().len());
    }

    #[test]
    fn scaled_to_the_host() {
        let host = HostCapacity { memory_bytes: 10 << 30, cpus: 2 };
        let small = limits_on(host, instance("ml.t3.medium").unwrap());
        assert_eq!((small.memory_bytes, small.cpu_millis, small.tmp_bytes), (4 << 30, 2000, 2 << 30));
        let large = limits_on(host, instance("ml.m5.24xlarge").unwrap());
        assert_eq!((large.memory_bytes, large.cpu_millis, large.tmp_bytes), (8 << 30, 2000, 4 << 30));
        assert!(HostCapacity::read().memory_bytes > 0);
    }
}
