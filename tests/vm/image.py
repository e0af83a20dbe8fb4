"""What the machine of rig.py starts from: Debian's kernel, and a first file system with the
program under test, busybox and, where rules are given, udev.

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
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = ("virtio_pci", "virtio_console", "xhci_pci", "ftdi_sio")
KERNEL_TREES = ("drivers/usb/", "drivers/virtio/", "drivers/char/virtio_console")


class Unavailable(Exception):
    """A Debian package that the machine is made of, or its libraries, cannot be had here."""


def run(*argv, **options):
    """Runs a command of this machine and returns what it printed."""
    done = subprocess.run(argv, capture_output=True, **options)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def package(cache, name, wanted):
    """The unpacked files of a Debian package for which `wanted(path)` holds."""
    root = cache / name
    if not (root / "complete").exists():
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
                    if not member.isdir() and wanted(member.name.removeprefix("./")):
                        tar.extract(member, root)
        deb.unlink()
        (root / "complete").touch()
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


def load_order(folder):
    """The files of MODULES with what each says it depends on, in the order to load them."""
    files = {file.stem.replace("-", "_"): file for file in folder.rglob("*.ko")}
    order = []

    def add(name):
        file = files[name.replace("-", "_")]
        depends = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())
        for other in filter(None, depends.group(1).decode().split(",") if depends else []):
            add(other)
        if file not in order:
            order.append(file)

    for name in MODULES:
        add(name)
    return order


class Archive:
    """A newc cpio archive, which is what the kernel takes as its first file system."""

    def __init__(self):
        self.parts, self.names = [], set()

    def _entry(self, name, mode, data=b""):
        name = name.strip("/")
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

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, name, path):
        self.file(name, Path(path).read_bytes(), os.stat(path).st_mode & 0o777)

    def program(self, name, path):
        """A program with the libraries that it is linked to."""
        self.copy(name, path)
        linked = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        if "not found" in linked:
            raise Unavailable(f"{path} lacks libraries: {linked}")
        for library in re.findall(r"(?:=> )?(/\S+) \(0x", linked):
            self.copy(library, library)

    def octets(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self.parts)


def initial_files(cache, modules, program, rules):
    """The guest's file system. Of two entries with the same name the first one counts."""
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
    order = load_order(modules)
    for module in order:
        files.copy(f"/modules/{module.name}", module)
    files.file("/modules/order", "".join(f"/modules/{m.name}\n" for m in order).encode())
    busybox = package(cache, "busybox-static", lambda p: p.endswith("bin/busybox"))
    busybox = next(busybox.glob("**/busybox"))
    files.copy("/bin/busybox", busybox)
    for applet in run(busybox, "--list").decode().split():
        if applet not in ("busybox", "init"):
            files.link(f"/bin/{applet}", "busybox")
    files.copy("/etc/group", "/etc/group")
    files.file("/etc/passwd", b"root:x:0:0:root:/tmp:/bin/sh\n")
    if rules is not None:
        udev = package(cache, "udev", lambda p: "/udev/" in p or p.endswith("bin/udevadm"))
        files.program("/bin/udevadm", next(udev.glob("**/bin/udevadm")))
        files.link("/lib/systemd/systemd-udevd", "/bin/udevadm")
        for name in ("50-udev-default.rules", "60-serial.rules"):
            files.copy(f"/lib/udev/rules.d/{name}", next(udev.glob(f"**/rules.d/{name}")))
        for rule in rules:
            files.copy(f"/etc/udev/rules.d/{Path(rule).name}", rule)
        files.file("/etc/udev/udev.conf", b"udev_log=info\n")
    return files.octets()
