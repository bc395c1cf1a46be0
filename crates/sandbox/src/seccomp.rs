//! The system calls that no job needs and that have opened sandboxes before: refused with EPERM.
//!
//! A deny list, because job code is arbitrary (Python, JVM, CUDA, compilers); the namespaces and the
//! empty capability sets are the wall, this thins what lies behind it. `clone3` answers ENOSYS because its flags
//! are in memory a filter cannot read: C libraries then fall back to `clone`, whose flags it can. Calls
//! numbered for the x32 ABI would slip past a list of numbers and are refused as a whole; 32-bit calls kill.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// Refused whatever their arguments.
const DENIED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
];

/// `CLONE_NEW*`: what `clone` and `unshare` may not ask for.
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    0x80, // CLONE_NEWTIME
];

/// Socket families that stay: unix, inet, inet6, netlink. All others are refused, above all vsock, which
/// reaches the hypervisor past any network namespace.
const REFUSED_FAMILIES: [(u64, u64); 3] = [(3, 9), (11, 15), (17, u32::MAX as u64)];

/// The programs to install, in this order.
///
/// # Errors
/// On an architecture seccompiler does not know.
pub fn programs() -> Result<Vec<BpfProgram>, String> {
    let text = |error: seccompiler::BackendError| error.to_string();
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(text)?;
    let condition = |index, op, value| SeccompCondition::new(index, Dword, op, value).map_err(text);
    let rule = |conditions| SeccompRule::new(conditions).map_err(text);

    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|call| (*call, vec![])).collect();
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        // In `clone`, bit 7 is part of the exit signal, and CLONE_NEWTIME is only known to unshare and clone3.
        let flags = NAMESPACES.iter().filter(|flag| call == libc::SYS_unshare || **flag != 0x80).map(|flag| *flag as u64);
        let rules = flags.map(|flag| rule(vec![condition(0, SeccompCmpOp::MaskedEq(flag), flag)?])).collect::<Result<_, _>>()?;
        denied.insert(call, rules);
    }
    let families = REFUSED_FAMILIES
        .iter()
        .map(|(low, high)| rule(vec![condition(0, SeccompCmpOp::Ge, *low)?, condition(0, SeccompCmpOp::Le, *high)?]))
        .collect::<Result<_, _>>()?;
    denied.insert(libc::SYS_socket, families);
    // Typing into a terminal that somebody else reads.
    let typing = [libc::TIOCSTI, 0x541C /* TIOCLINUX */].map(|call| rule(vec![condition(1, SeccompCmpOp::Eq, u64::from(call as u32))?]));
    denied.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);

    let compile = |rules, errno: i32| {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch).map_err(text)?;
        BpfProgram::try_from(filter).map_err(text)
    };
    let unknown = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    Ok(vec![compile(denied, libc::EPERM)?, compile(unknown, libc::ENOSYS)?, foreign_abi()])
}

/// Refuses every call number with x32's bit. On other architectures no number is that high.
fn foreign_abi() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32_BIT: u32 = 0x4000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    vec![
        sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: ERRNO | libc::ENOSYS as u32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: ALLOW },
    ]
}

/// Installs the filters for this process and all it starts; there is no way back.
///
/// # Errors
/// When the kernel has no seccomp filters.
pub fn install() -> Result<(), String> {
    for program in programs()? {
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}
