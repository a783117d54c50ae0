/**
 * The system calls of a cordon, by number, on the processors that Linux gateways run on. Two lists: what nobody
 * behind the fence is ever granted, from before Node starts; and the few calls that are left once a cordon
 * serves, when it needs no file, no new socket, no signal and no program any more.
 */

/** What a call's arguments must be. The number is the argument's place. */
export type Condition =
  | { readonly argument: number; readonly anyOf: readonly number[] }
  | { readonly argument: number; readonly noneOf: readonly number[] }
  | { readonly argument: number; readonly hasBits: number }
  | { readonly argument: number; readonly isZero: true };

export interface Call {
  readonly name: string;
  /** Allowed only so; null where the arguments do not matter. */
  readonly when: Condition | null;
}

export interface Processor {
  /** `AUDIT_ARCH_*` of <linux/audit.h>. */
  readonly audit: number;
  /** A call without a number does not exist there. */
  readonly numbers: Readonly<Record<string, number>>;
}

const CLONE_THREAD = 0x10000;
const AT_EMPTY_PATH = 0x1000;
/** F_GETFD, F_SETFD, F_GETFL, F_SETFL: not F_SETOWN, which makes the kernel send signals. */
const DESCRIPTOR_FLAGS = [1, 2, 3, 4];
/** FIONBIO, FIOCLEX, FIONREAD, and TCGETS, by which libc tells a terminal. */
const TERMINAL_AND_STREAM = [0x5421, 0x5451, 0x541b, 0x5401];
/** PR_SET_NAME and PR_SET_VMA: names of threads and of memory. */
const NAMING = [15, 0x53564d41];

/**
 * What a process behind the fence is refused from its start on. io_uring is here for one more reason: what is
 * asked by way of a ring is seen by no filter, and a ring that Node made at its start would stay.
 */
export const NEVER = (
  "ptrace process_vm_readv process_vm_writev process_madvise pidfd_open pidfd_getfd pidfd_send_signal kcmp " +
  "mount umount2 pivot_root chroot move_mount fsopen fsconfig fsmount fspick open_tree mount_setattr swapon " +
  "swapoff unshare setns add_key request_key keyctl bpf perf_event_open io_uring_setup io_uring_enter " +
  "io_uring_register kexec_load kexec_file_load init_module finit_module delete_module reboot userfaultfd " +
  "setuid setgid setreuid setregid setgroups setresuid setresgid setfsuid setfsgid capset fork vfork iopl " +
  "ioperm modify_ldt acct quotactl settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname " +
  "syslog vhangup name_to_handle_at open_by_handle_at fanotify_init personality mq_open msgget semget shmget " +
  "memfd_create memfd_secret execveat mknod mknodat uselib move_pages migrate_pages"
).split(" ");

const AF_UNIX = 1;
const PR_SET_PDEATHSIG = 1;

/** Calls that are granted from the start with these arguments only: threads, no network, death with the parent. */
export const ONLY_SO: readonly Call[] = [
  { name: "clone", when: { argument: 0, hasBits: CLONE_THREAD } },
  { name: "socket", when: { argument: 0, anyOf: [AF_UNIX] } },
  { name: "prctl", when: { argument: 0, noneOf: [PR_SET_PDEATHSIG] } },
];

/** All that is left to a cordon that serves, often called ones first. `pid` is its own: it may only end itself. */
export function servingCalls(pid: number): Call[] {
  return [
    ...names(
      `read write futex epoll_wait epoll_pwait epoll_pwait2 writev readv clock_gettime madvise mprotect`,
    ),
    ...names(
      `mmap munmap mremap brk membarrier pkey_alloc pkey_mprotect pkey_free sched_yield sched_getaffinity`,
    ),
    ...names(`rt_sigprocmask rt_sigaction rt_sigreturn sigaltstack set_robust_list rseq exit exit_group`),
    ...names(
      `getrusage getrandom gettimeofday time clock_getres clock_nanosleep nanosleep restart_syscall getcpu`,
    ),
    ...names(
      `epoll_ctl epoll_create1 eventfd2 poll ppoll close shutdown fstat getsockopt getsockname getpeername`,
    ),
    ...names(`getpid getppid gettid getuid geteuid getgid getegid sysinfo uname`),
    ...names(`sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min getpriority`),
    { name: "clone", when: { argument: 0, hasBits: CLONE_THREAD } },
    { name: "newfstatat", when: { argument: 3, hasBits: AT_EMPTY_PATH } },
    { name: "fcntl", when: { argument: 1, anyOf: DESCRIPTOR_FLAGS } },
    { name: "ioctl", when: { argument: 1, anyOf: TERMINAL_AND_STREAM } },
    { name: "prctl", when: { argument: 0, anyOf: NAMING } },
    { name: "prlimit64", when: { argument: 2, isZero: true } },
    { name: "tgkill", when: { argument: 0, anyOf: [pid] } },
  ];
}

function names(list: string): Call[] {
  return list.split(" ").map((name) => ({ name, when: null }));
}

/** By `process.arch`. Numbers are the kernel's and never change. */
export const PROCESSORS: Readonly<Record<string, Processor>> = {
  x64: {
    audit: 0xc000003e,
    numbers: {
      ...{ read: 0, write: 1, close: 3, fstat: 5, poll: 7, mmap: 9, mprotect: 10, munmap: 11, brk: 12 },
      ...{ rt_sigaction: 13, rt_sigprocmask: 14, rt_sigreturn: 15, ioctl: 16, readv: 19, writev: 20 },
      ...{ sched_yield: 24, mremap: 25, madvise: 28, nanosleep: 35, getpid: 39, shutdown: 48 },
      ...{ getsockname: 51, getpeername: 52, getsockopt: 55, clone: 56, exit: 60, uname: 63, fcntl: 72 },
      ...{ gettimeofday: 96, getrusage: 98, sysinfo: 99, getuid: 102, getgid: 104, geteuid: 107 },
      ...{ getegid: 108, getppid: 110, sigaltstack: 131, prctl: 157, gettid: 186, time: 201, futex: 202 },
      ...{ sched_getaffinity: 204, restart_syscall: 219, clock_gettime: 228, clock_getres: 229 },
      ...{ clock_nanosleep: 230, exit_group: 231, epoll_wait: 232, epoll_ctl: 233, tgkill: 234 },
      ...{ newfstatat: 262, ppoll: 271, set_robust_list: 273, epoll_pwait: 281, eventfd2: 290 },
      ...{ epoll_create1: 291, prlimit64: 302, getcpu: 309, getrandom: 318, membarrier: 324 },
      ...{
        pkey_mprotect: 329,
        pkey_alloc: 330,
        pkey_free: 331,
        rseq: 334,
        epoll_pwait2: 441,
        sched_getparam: 143,
      },
      ...{
        sched_getscheduler: 145,
        sched_get_priority_max: 146,
        sched_get_priority_min: 147,
        getpriority: 140,
      },
      ...{
        ptrace: 101,
        process_vm_readv: 310,
        process_vm_writev: 311,
        process_madvise: 440,
        pidfd_open: 434,
      },
      ...{ pidfd_getfd: 438, pidfd_send_signal: 424, kcmp: 312, mount: 165, umount2: 166, pivot_root: 155 },
      ...{ chroot: 161, move_mount: 429, fsopen: 430, fsconfig: 431, fsmount: 432, fspick: 433 },
      ...{ open_tree: 428, mount_setattr: 442, swapon: 167, swapoff: 168, unshare: 272, setns: 308 },
      ...{ clone3: 435, add_key: 248, request_key: 249, keyctl: 250, bpf: 321, perf_event_open: 298 },
      ...{ io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427, kexec_load: 246 },
      ...{ kexec_file_load: 320, init_module: 175, finit_module: 313, delete_module: 176, reboot: 169 },
      ...{ userfaultfd: 323, setuid: 105, setgid: 106, setreuid: 113, setregid: 114, setgroups: 116 },
      ...{ setresuid: 117, setresgid: 119, setfsuid: 122, setfsgid: 123, capset: 126, fork: 57, vfork: 58 },
      ...{ iopl: 172, ioperm: 173, modify_ldt: 154, acct: 163, quotactl: 179, settimeofday: 164 },
      ...{ clock_settime: 227, adjtimex: 159, clock_adjtime: 305, sethostname: 170, setdomainname: 171 },
      ...{ syslog: 103, vhangup: 153, name_to_handle_at: 303, open_by_handle_at: 304, fanotify_init: 300 },
      ...{ personality: 135, mq_open: 240, msgget: 68, semget: 64, shmget: 29, memfd_create: 319 },
      ...{ memfd_secret: 447, socket: 41, execveat: 322, mknod: 133, mknodat: 259, uselib: 134 },
      ...{ move_pages: 279, migrate_pages: 256, seccomp: 317 },
    },
  },
  arm64: {
    audit: 0xc00000b7,
    numbers: {
      ...{ eventfd2: 19, epoll_create1: 20, epoll_ctl: 21, epoll_pwait: 22, fcntl: 25, ioctl: 29, close: 57 },
      ...{ read: 63, write: 64, readv: 65, writev: 66, ppoll: 73, newfstatat: 79, fstat: 80, exit: 93 },
      ...{ exit_group: 94, futex: 98, set_robust_list: 99, nanosleep: 101, clock_gettime: 113 },
      ...{ clock_getres: 114, clock_nanosleep: 115, sched_getaffinity: 123, sched_yield: 124 },
      ...{ restart_syscall: 128, tgkill: 131, sigaltstack: 132, rt_sigaction: 134, rt_sigprocmask: 135 },
      ...{ rt_sigreturn: 139, uname: 160, getrusage: 165, prctl: 167, getcpu: 168, gettimeofday: 169 },
      ...{ getpid: 172, getppid: 173, getuid: 174, geteuid: 175, getgid: 176, getegid: 177, gettid: 178 },
      ...{ sysinfo: 179, getsockname: 204, getpeername: 205, getsockopt: 209, shutdown: 210, brk: 214 },
      ...{ munmap: 215, mremap: 216, clone: 220, mmap: 222, mprotect: 226, madvise: 233, prlimit64: 261 },
      ...{ getrandom: 278, membarrier: 283, pkey_mprotect: 288, pkey_alloc: 289, pkey_free: 290 },
      ...{ rseq: 293, epoll_pwait2: 441, sched_getparam: 121 },
      ...{
        sched_getscheduler: 120,
        sched_get_priority_max: 125,
        sched_get_priority_min: 126,
        getpriority: 141,
      },
      ...{
        ptrace: 117,
        process_vm_readv: 270,
        process_vm_writev: 271,
        process_madvise: 440,
        pidfd_open: 434,
      },
      ...{ pidfd_getfd: 438, pidfd_send_signal: 424, kcmp: 272, mount: 40, umount2: 39, pivot_root: 41 },
      ...{
        chroot: 51,
        move_mount: 429,
        fsopen: 430,
        fsconfig: 431,
        fsmount: 432,
        fspick: 433,
        open_tree: 428,
      },
      ...{
        mount_setattr: 442,
        swapon: 224,
        swapoff: 225,
        unshare: 97,
        setns: 268,
        clone3: 435,
        add_key: 217,
      },
      ...{ request_key: 218, keyctl: 219, bpf: 280, perf_event_open: 241, io_uring_setup: 425 },
      ...{ io_uring_enter: 426, io_uring_register: 427, kexec_load: 104, kexec_file_load: 294 },
      ...{ init_module: 105, finit_module: 273, delete_module: 106, reboot: 142, userfaultfd: 282 },
      ...{ setuid: 146, setgid: 144, setreuid: 145, setregid: 143, setgroups: 159, setresuid: 147 },
      ...{ setresgid: 149, setfsuid: 151, setfsgid: 152, capset: 91, acct: 89, quotactl: 60 },
      ...{ settimeofday: 170, clock_settime: 112, adjtimex: 171, clock_adjtime: 266, sethostname: 161 },
      ...{ setdomainname: 162, syslog: 116, vhangup: 58, name_to_handle_at: 264, open_by_handle_at: 265 },
      ...{ fanotify_init: 262, personality: 92, mq_open: 180, msgget: 186, semget: 190, shmget: 194 },
      ...{ memfd_create: 279, memfd_secret: 447, socket: 198, execveat: 281, mknodat: 33, move_pages: 239 },
      ...{ migrate_pages: 238, seccomp: 277 },
    },
  },
};
