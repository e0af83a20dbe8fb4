"""What the machine of rig.py starts from: Debian's kernel, and a first file system with the
program under test, busybox and, where rules are given, udev; or, as its first process, systemd
with its udevd, and serialshark's files where its package has them.

The packages are fetched into a cache and never installed.
"""

import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# What the machine has before anything is plugged in, and what the adapter's plug may load.
MODULES = ("virtio_pci", "virtio_console", "xhci_pci")
DRIVER = "ftdi_sio"
KERNEL_TREES = ("drivers/usb/", "drivers/virtio/", "drivers/char/virtio_console")
# systemd, and the libraries of its that a Debian without it may lack.
SYSTEM_PACKAGES = (
    *("systemd", "libsystemd-shared", "libapparmor1", "libcap2", "libip4tc2", "libkmod2"),
    *("libpam0g", "libseccomp2", "libssl3", "udev", "kmod"),
)
SYSTEM_PROGRAMS = (
    *("lib/systemd/systemd", "lib/systemd/systemd-journald", "bin/systemctl", "bin/journalctl"),
    *("bin/systemd-sysusers", "bin/udevadm"),
)
# Of systemd's own units those that make a machine with a journal and udevd, and no more.
SYSTEM_UNITS = (
    *("basic", "local-fs", "local-fs-pre", "multi-user", "paths", "shutdown", "slices", "sockets"),
    *("swap", "sysinit", "timers", "umount"),
)
SYSTEM_SERVICES = ("systemd-journald", "systemd-udevd", "systemd-udev-trigger")
AGENT_UNIT = b"""[Service]
Type=exec
ExecStart=/init
"""


class Unavailable(Exception):
    """A Debian package that the machine is made of, or its libraries, cannot be had here."""


def run(*argv, **options):
    """Runs a command of this machine and returns what it printed."""
    done = subprocess.run(argv, capture_output=True, **options)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def package(cache, name, wanted=None):
    """The unpacked files of a Debian package: all, or those for which `wanted(path)` holds."""
    root = cache / name
    complete = root / ("complete" if wanted else "whole")
    if not complete.exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        try:
            # As root apt drops to a user who may not write here.
            run("apt-get", "-o", "APT::Sandbox::User=root", "download", name, cwd=root)
        except RuntimeError as error:
            raise Unavailable(error) from None
        (deb,) = root.glob("*.deb")
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as pipe:
            with tarfile.open(fileobj=pipe.stdout, mode="r|") as tar:
                for member in tar:
                    path = member.name.removeprefix("./")
                    if not member.isdir() and (wanted is None or wanted(path)):
                        tar.extract(member, root)
        deb.unlink()
        complete.touch()
    return root


def kernel(cache):
    """Debian's kernel: (what QEMU starts, the folder of its modules)."""
    newest = cache / "kernel-package"
    if not newest.exists():
        depends = run("apt-cache", "depends", "linux-image-amd64").decode()
        found = re.search(r"Depends: (linux-image-[0-9]\S+)", depends)
        if not found:
            raise Unavailable("apt-cache knows no linux-image-amd64: run apt-get update")
        newest.write_text(found.group(1))
    root = package(
        cache,
        newest.read_text(),
        lambda path: (
            path.startswith("boot/vmlinuz")
            or any(f"/kernel/{tree}" in path for tree in KERNEL_TREES)
        ),
    )
    vmlinux = root / "vmlinux"
    if not vmlinux.exists():
        (image,) = (root / "boot").glob("vmlinuz-*")
        vmlinux.write_bytes(unpacked(image.read_bytes()))
    return vmlinux, next(root.glob("**/kernel/drivers"))


def unpacked(image):
    """The ELF inside a bzImage: QEMU starts it directly, and no emulated processor unpacks it."""
    setup = (image[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    return lzma.LZMADecompressor().decompress(image[setup * 512 + offset :][:length])


def load_order(folder, names):
    """The files of these modules with what each says it depends on, in the order to load them."""
    files = {file.stem.replace("-", "_"): file for file in folder.rglob("*.ko")}
    order = []

    def add(name):
        file = files[name.replace("-", "_")]
        depends = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())
        for other in filter(None, depends.group(1).decode().split(",") if depends else []):
            add(other)
        if file not in order:
            order.append(file)

    for name in names:
        add(name)
    return order


def module_indexes(kmod, roots, version, modules):
    """What udevd looks up to load a driver for a device, {name: octets}."""
    with tempfile.TemporaryDirectory(prefix="vm-") as base:
        folder = Path(base, "lib/modules", version)
        for module in modules:
            copy = folder / "kernel" / module.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(module, copy)
        # A program that goes by the name it is called by.
        run("depmod", "-b", base, version, executable=kmod, env=library_path(roots))
        return {file.name: file.read_bytes() for file in folder.glob("modules.*.bin")}


def library_path(roots):
    """An environment in which the libraries of these unpacked packages come first."""
    folders = [
        folder
        for root in roots
        for tree in ("lib", "usr/lib")
        for triplet in root.glob(f"{tree}/*-linux-gnu")
        for folder in (triplet, triplet / "systemd")
    ]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, folders))}


class Archive:
    """A newc cpio archive, which is what the kernel takes as its first file system. As in Debian
    /bin and /lib are those of /usr. Of two entries with the same name the first one counts."""

    MERGED = ("bin", "lib", "lib64", "sbin")

    def __init__(self):
        self.parts, self.names = [], set()
        for name in self.MERGED:
            self._entry(name, stat.S_IFLNK | 0o777, f"usr/{name}".encode())
            self.folder(f"/usr/{name}")

    def _entry(self, name, mode, data=b""):
        name = name.strip("/")
        if "/" in name and name.split("/")[0] in self.MERGED:
            name = f"usr/{name}"
        if name in self.names:
            return
        self.names.add(name)
        parent = os.path.dirname(name)
        if parent:
            self._entry(parent, stat.S_IFDIR | 0o755)
        fields = (len(self.names), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self.parts += [head + bytes(-len(head) % 4), data + bytes(-len(data) % 4)]

    def file(self, name, data, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, data)

    def folder(self, name, mode=0o755):
        self._entry(name, stat.S_IFDIR | mode)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, name, path):
        self.file(name, Path(path).read_bytes(), os.stat(path).st_mode & 0o777)

    def program(self, name, path, roots=()):
        """A program with the libraries that it is linked to: those of unpacked packages, or this
        machine's."""
        self.copy(name, path)
        environment = library_path(roots)
        linked = subprocess.run(["ldd", path], capture_output=True, text=True, env=environment)
        if "not found" in linked.stdout:
            raise Unavailable(f"{path} lacks libraries: {linked.stdout}")
        for library in re.findall(r"(?:=> )?(/\S+) \(0x", linked.stdout):
            within = next((root for root in roots if Path(library).is_relative_to(root)), "/")
            self.copy(str(Path(library).relative_to(within)), library)

    def octets(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self.parts)


def initial_files(cache, modules, program, rules, systemd):
    """The guest's file system."""
    files = Archive()
    slim = Path(tempfile.mkdtemp(prefix="vm-")) / "program"
    try:
        run("strip", "-o", slim, program)
        files.program("/bin/serialshark", slim)
    finally:
        shutil.rmtree(slim.parent)
    source = (HERE / "agent.c").read_bytes()
    agent = cache / f"agent-{hashlib.sha256(source).hexdigest()[:12]}"
    if not agent.exists():
        run("gcc", "-static", "-Os", "-s", "-Wall", "-o", agent, HERE / "agent.c")
    files.copy("/init", agent)
    order = load_order(modules, MODULES if systemd else (*MODULES, DRIVER))
    for module in order:
        files.copy(f"/modules/{module.name}", module)
    files.file("/modules/order", "".join(f"/modules/{m.name}\n" for m in order).encode())
    busybox = package(cache, "busybox-static", lambda p: p.endswith("bin/busybox"))
    busybox = next(busybox.glob("**/busybox"))
    files.copy("/bin/busybox", busybox)
    if systemd:
        add_systemd(files, cache, modules)
    for applet in run(busybox, "--list").decode().split():
        if applet not in ("busybox", "init"):
            files.link(f"/bin/{applet}", "busybox")
    files.copy("/etc/group", "/etc/group")
    files.file("/etc/passwd", b"root:x:0:0:root:/tmp:/bin/sh\n")
    if rules is not None:
        udev = package(cache, "udev")
        files.program("/bin/udevadm", next(udev.glob("**/bin/udevadm")))
        files.link("/lib/systemd/systemd-udevd", "/bin/udevadm")
        for name in ("50-udev-default.rules", "60-serial.rules"):
            files.copy(f"/lib/udev/rules.d/{name}", next(udev.glob(f"**/rules.d/{name}")))
        for rule in rules:
            files.copy(f"/etc/udev/rules.d/{Path(rule).name}", rule)
        files.file("/etc/udev/udev.conf", b"udev_log=info\n")
    return files.octets()


def add_systemd(files, cache, modules):
    """systemd and its udevd, which runs all of its own rules; the files of our package; and the
    adapter's driver, which its plug loads."""
    unpacked_in = {name: package(cache, name) for name in SYSTEM_PACKAGES}
    roots = list(unpacked_in.values())

    def find(path):
        found = next((file for root in roots for file in root.glob(f"**/{path}")), None)
        if found is None:
            raise Unavailable(f"no package has {path}")
        return found

    for path in SYSTEM_PROGRAMS:
        files.program(path, find(path), roots)
    files.program("/bin/flock", "/usr/bin/flock")  # not among busybox's
    files.link("/lib/systemd/systemd-udevd", "/bin/udevadm")
    units = [find(f"lib/systemd/system/{name}.target") for name in SYSTEM_UNITS]
    for root in (unpacked_in["systemd"], unpacked_in["udev"]):
        for file in root.glob("**/systemd/system/*.s*"):
            if file.name.split(".")[0].startswith(SYSTEM_SERVICES) and "@" not in file.name:
                units.append(file)
        for wanted in root.glob("**/systemd/system/*.target.wants/*"):
            if wanted.name.startswith(SYSTEM_SERVICES):
                name = f"/lib/systemd/system/{wanted.parent.name}/{wanted.name}"
                files.link(name, f"../{wanted.name}")
        for rule in root.glob("**/udev/rules.d/*.rules"):
            files.copy(f"/lib/udev/rules.d/{rule.name}", rule)
    for file in units:
        files.copy(f"/lib/systemd/system/{file.name}", file)
    files.link("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
    files.file("/etc/systemd/system/agent.service", AGENT_UNIT)
    files.link("/etc/systemd/system/multi-user.target.wants/agent.service", "../agent.service")
    files.file("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n")
    files.file("/etc/os-release", b"ID=debian\n")
    for folder in ("dev", "etc/serialshark", "proc", "root", "run", "sys", "sysroot", "var/log"):
        files.folder(folder)
    files.folder("tmp", 0o1777)
    files.folder("var/tmp", 0o1777)

    version = modules.parents[1].name
    drivers = load_order(modules, (DRIVER,))
    indexes = module_indexes(find("bin/kmod"), roots, version, drivers)
    for name, octets in indexes.items():
        files.file(f"/lib/modules/{version}/{name}", octets)
    for driver in drivers:
        files.copy(f"/lib/modules/{version}/kernel/{driver.name}", driver)

    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    for source, target, mode in manifest["package"]["metadata"]["deb"]["assets"]:
        if not target.startswith("usr/lib/"):
            continue
        name = target + Path(source).name if target.endswith("/") else target
        files.file(name, (ROOT / source).read_bytes(), int(mode, 8))
