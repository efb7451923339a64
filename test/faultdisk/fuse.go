package faultdisk

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The methods that the kernel calls.

func (n *inode) touch() {
	now := time.Now()
	n.mtime, n.nsec = uint64(now.Unix()), uint32(now.Nanosecond())
}

func (n *inode) isDir() bool { return n.names != nil }

func (n *inode) fill(a *fuse.Attr) {
	*a = fuse.Attr{Ino: n.id, Mode: n.mode, Nlink: uint32(max(n.links, 0)), Size: uint64(len(n.data)), Blocks: uint64(len(n.data)+511) / 512, Blksize: 4096,
		Mtime: n.mtime, Mtimensec: n.nsec, Ctime: n.mtime, Ctimensec: n.nsec, Atime: n.mtime, Atimensec: n.nsec}
	if n.isDir() {
		a.Nlink = 2
	}
	if n.target != "" {
		a.Size = uint64(len(n.target))
	}
}

func (n *inode) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, 1
	n.fill(&out.Attr)
}

func (f *memFS) String() string { return "faultdisk" }

// child finds a name in a directory.
func (f *memFS) child(dir uint64, name string) (d, n *inode, status fuse.Status) {
	d = f.inodes[dir]
	if d == nil || !d.isDir() {
		return nil, nil, fuse.ENOTDIR
	}
	return d, d.names[name], fuse.OK
}

func (f *memFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return fuse.EIO
	}
	_, n, status := f.child(h.NodeId, name)
	if status == fuse.OK && n == nil {
		status = fuse.ENOENT
	}
	if status == fuse.OK {
		n.entry(out)
	}
	return status
}

func (f *memFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if n == nil {
		return fuse.ENOENT
	}
	n.fill(&out.Attr)
	return fuse.OK
}

func (f *memFS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if n == nil {
		return fuse.ENOENT
	}
	if size, ok := in.GetSize(); ok {
		if status := f.begin(Write, n); status != fuse.OK {
			return status
		}
		if status := f.room(int64(size) - int64(len(n.data))); status != fuse.OK {
			return status
		}
		n.data = resize(n.data, int64(size))
		n.writes = append(n.writes, write{off: int64(size)})
		n.touch()
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode&0o7777
	}
	if t, ok := in.GetMTime(); ok {
		n.mtime, n.nsec = uint64(t.Unix()), uint32(t.Nanosecond())
	}
	n.fill(&out.Attr)
	return fuse.OK
}

// add makes a new inode under a name.
func (f *memFS) add(dir uint64, name string, mode uint32, out *fuse.EntryOut) (*inode, fuse.Status) {
	if status := f.begin(Name, f.inodes[dir]); status != fuse.OK {
		return nil, status
	}
	d, n, status := f.child(dir, name)
	if status != fuse.OK {
		return nil, status
	}
	if n != nil {
		return nil, fuse.Status(syscall.EEXIST)
	}
	n = f.make(mode)
	f.change(change{{d, name, n}})
	n.entry(out)
	return n, fuse.OK
}

func (f *memFS) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, status := f.add(in.NodeId, name, in.Mode, out)
	return status
}

func (f *memFS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, status := f.add(in.NodeId, name, syscall.S_IFDIR|in.Mode&0o7777, out)
	return status
}

func (f *memFS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, status := f.add(in.NodeId, name, syscall.S_IFREG|in.Mode&0o7777, &out.EntryOut)
	return status
}

func (f *memFS) Symlink(_ <-chan struct{}, h *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, status := f.add(h.NodeId, name, syscall.S_IFLNK|0o777, out)
	if status == fuse.OK {
		n.target = to
		n.entry(out)
	}
	return status
}

func (f *memFS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.inodes[h.NodeId]; n != nil {
		return []byte(n.target), fuse.OK
	}
	return nil, fuse.ENOENT
}

func (f *memFS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if status := f.begin(Name, f.inodes[in.NodeId]); status != fuse.OK {
		return status
	}
	d, n, status := f.child(in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	if n != nil {
		return fuse.Status(syscall.EEXIST)
	}
	n = f.inodes[in.Oldnodeid]
	f.change(change{{d, name, n}})
	n.entry(out)
	return fuse.OK
}

func (f *memFS) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remove(h.NodeId, name, false)
}

func (f *memFS) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remove(h.NodeId, name, true)
}

func (f *memFS) remove(dir uint64, name string, isDir bool) fuse.Status {
	if status := f.begin(Name, f.inodes[dir]); status != fuse.OK {
		return status
	}
	d, n, status := f.child(dir, name)
	switch {
	case status != fuse.OK:
		return status
	case n == nil:
		return fuse.ENOENT
	case isDir && !n.isDir():
		return fuse.ENOTDIR
	case !isDir && n.isDir():
		return fuse.EISDIR
	case isDir && len(n.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	f.change(change{{d, name, nil}})
	return fuse.OK
}

const renameNoReplace = 1

func (f *memFS) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if status := f.begin(Name, f.inodes[in.NodeId]); status != fuse.OK {
		return status
	}
	from, n, status := f.child(in.NodeId, oldName)
	if status != fuse.OK {
		return status
	}
	to, old, status := f.child(in.Newdir, newName)
	switch {
	case status != fuse.OK:
		return status
	case n == nil:
		return fuse.ENOENT
	case in.Flags&^renameNoReplace != 0:
		return fuse.EINVAL
	case in.Flags&renameNoReplace != 0 && old != nil:
		return fuse.Status(syscall.EEXIST)
	case old == n:
		return fuse.OK
	case old != nil && old.isDir() != n.isDir():
		return fuse.Status(syscall.ENOTDIR)
	case old != nil && len(old.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	f.change(change{{to, newName, n}, {from, oldName, nil}})
	return fuse.OK
}

func (f *memFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if f.dead || n == nil {
		return fuse.EIO
	}
	if in.Flags&syscall.O_TRUNC != 0 && len(n.data) > 0 {
		if status := f.begin(Write, n); status != fuse.OK {
			return status
		}
		f.used -= int64(len(n.data))
		n.data = nil
		n.writes = append(n.writes, write{})
	}
	return fuse.OK
}

func (f *memFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if f.dead || n == nil {
		return nil, fuse.EIO
	}
	if in.Offset >= uint64(len(n.data)) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	return fuse.ReadResultData(buf[:copy(buf, n.data[in.Offset:])]), fuse.OK
}

func (f *memFS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if n == nil {
		return 0, fuse.EIO
	}
	if status := f.begin(Write, n); status != fuse.OK {
		return 0, status
	}
	end := int64(in.Offset) + int64(len(data))
	if status := f.room(max(0, end-int64(len(n.data)))); status != fuse.OK {
		return 0, status
	}
	if end > int64(len(n.data)) {
		n.data = resize(n.data, end)
	}
	copy(n.data[in.Offset:], data)
	n.writes = append(n.writes, write{int64(in.Offset), slices.Clone(data)})
	n.touch()
	return uint32(len(data)), fuse.OK
}

func (f *memFS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if n == nil {
		return fuse.EIO
	}
	if status := f.begin(Sync, n); status != fuse.OK {
		n.writes = nil // as Linux does: what failed to reach the disk is marked clean, and the next sync says nothing of it
		return status
	}
	for _, w := range n.writes {
		if w.data == nil {
			n.stable = resize(n.stable, w.off)
			continue
		}
		if end := w.off + int64(len(w.data)); end > int64(len(n.stable)) {
			n.stable = resize(n.stable, end)
		}
		copy(n.stable[w.off:], w.data)
	}
	n.writes = nil
	return fuse.OK
}

func (f *memFS) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if n == nil {
		return fuse.EIO
	}
	if status := f.begin(Sync, n); status != fuse.OK {
		return status
	}
	f.syncDir(n)
	return fuse.OK
}

func (f *memFS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (f *memFS) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (f *memFS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return fuse.EIO
	}
	return fuse.OK
}

// ReadDir lists by inode number: new names come last, so one that goes meanwhile hides no other.
func (f *memFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if f.dead || n == nil {
		return fuse.EIO
	}
	type item struct {
		name string
		n    *inode
	}
	var items []item
	for name, child := range n.names {
		if child.id > in.Offset {
			items = append(items, item{name, child})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		if a.n.id != b.n.id {
			return int(int64(a.n.id) - int64(b.n.id))
		}
		return strings.Compare(a.name, b.name)
	})
	for _, i := range items {
		if !out.AddDirEntry(fuse.DirEntry{Name: i.name, Mode: i.n.mode, Ino: i.n.id, Off: i.n.id}) {
			break
		}
	}
	return fuse.OK
}

func (f *memFS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := int64(1 << 40)
	if f.limit > 0 && !f.quota {
		size = f.limit
	}
	free := uint64(max(0, size-f.used)) / 4096
	*out = fuse.StatfsOut{Blocks: uint64(size) / 4096, Bfree: free, Bavail: free, Files: 1 << 20, Ffree: 1 << 20, Bsize: 4096, Frsize: 4096, NameLen: 255}
	return fuse.OK
}

func (f *memFS) GetXAttr(_ <-chan struct{}, h *fuse.InHeader, attr string, dest []byte) (uint32, fuse.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[h.NodeId]
	if n == nil {
		return 0, fuse.EIO
	}
	v, ok := n.attrs[attr]
	if !ok {
		return 0, fuse.ENOATTR
	}
	return fit(v, dest)
}

func fit(v, dest []byte) (uint32, fuse.Status) {
	if len(v) > len(dest) {
		return uint32(len(v)), fuse.ERANGE
	}
	return uint32(copy(dest, v)), fuse.OK
}

func (f *memFS) ListXAttr(_ <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[h.NodeId]
	if n == nil {
		return 0, fuse.EIO
	}
	var all []byte
	for name := range n.attrs {
		all = append(append(all, name...), 0)
	}
	return fit(all, dest)
}

func (f *memFS) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, attr string, data []byte) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[in.NodeId]
	if f.dead || n == nil {
		return fuse.EIO
	}
	n.attrs[attr] = slices.Clone(data)
	return fuse.OK
}

func (f *memFS) RemoveXAttr(_ <-chan struct{}, h *fuse.InHeader, attr string) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.inodes[h.NodeId]
	if f.dead || n == nil {
		return fuse.EIO
	}
	if _, ok := n.attrs[attr]; !ok {
		return fuse.ENOATTR
	}
	delete(n.attrs, attr)
	return fuse.OK
}
