// Package faultdisk is a disk for tests that fails as real ones do: it forgets at a power cut what nobody synced, it fills up, and its n-th write or sync can
// end in an I/O error. It is a FUSE file system held in memory, so it works below any process, the real binary included.
//
// What a power cut keeps follows POSIX to the letter, which is less than most file systems give: the bytes of a file that were fsynced, and the names of a
// directory that was fsynced. Of everything later each write (in sectors) and each change of a name is kept or lost by itself, as a seed decides. A rename
// is never half done. Extended attributes are durable at once.
package faultdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is a kind of change that a disk counts and can fail.
type Op int

const (
	Write Op = iota // of bytes to a file, or a change of its length
	Sync            // of a file or a directory
	Name            // creating, renaming, removing
	ops
)

// A Disk is mounted at Dir for the time of a test. The zero faults are none: it works as any disk.
type Disk struct {
	Dir string

	t      testing.TB
	server *fuse.Server
	fs     *memFS
}

// New mounts an empty disk. Where the machine has no FUSE, or does not let us mount, the test is skipped with a message.
func New(t testing.TB) *Disk {
	t.Helper()
	d := &Disk{Dir: t.TempDir(), t: t, fs: newMemFS()}
	if err := d.mount(); err != nil {
		t.Skipf("no FUSE on this machine, or no right to mount: %v", err)
	}
	t.Cleanup(d.unmount)
	return d
}

func (d *Disk) mount() error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return err
	}
	server, err := fuse.NewServer(d.fs, d.Dir, &fuse.MountOptions{
		FsName: "faultdisk", Name: "faultdisk", DirectMount: true, MaxWrite: 128 << 10, DisableReadDirPlus: true, DisableSplice: true,
	})
	if err != nil {
		return err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return errors.Join(err, server.Unmount())
	}
	d.server = server
	return nil
}

// unmount detaches the disk even if something is still open there: nothing of a test may stay behind.
func (d *Disk) unmount() {
	if d.server == nil {
		return
	}
	if err := syscall.Unmount(d.Dir, syscall.MNT_DETACH); err != nil {
		d.t.Errorf("unmount the fault disk: %v", err)
		return
	}
	d.server = nil
}

// CutAt lets the power fail at the n-th operation of a kind from now on, counting from 1: it and all that follow end in an error, and change nothing that
// PowerOn will find. kept is the part of the unsynced changes that reach the disk nevertheless: 0, 1 or anything between.
func (d *Disk) CutAt(op Op, n int, kept float64, r *rand.Rand) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.fs.plans = append(d.fs.plans, plan{op: op, at: d.fs.count[op] + n, cut: true, kept: kept, random: r})
}

// Cut lets the power fail now.
func (d *Disk) Cut(kept float64, r *rand.Rand) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.fs.cut(kept, r)
}

// FailAt lets the n-th operation of a kind from now on end in EIO, and times-1 after it.
func (d *Disk) FailAt(op Op, n, times int) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.fs.plans = append(d.fs.plans, plan{op: op, at: d.fs.count[op] + n, times: times})
}

// Heal drops all planned faults.
func (d *Disk) Heal() {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.fs.plans, d.fs.limit, d.fs.quota = nil, 0, false
}

// Fill leaves room for so many more bytes. Negative: none.
func (d *Disk) Fill(free int64) { d.limit(free, false) }

// Quota is Fill by a quota: the disk says that it has much more room, and refuses to give it.
func (d *Disk) Quota(free int64) { d.limit(free, true) }

func (d *Disk) limit(free int64, quota bool) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.fs.limit, d.fs.quota = max(1, d.fs.used+free), quota
}

// Used is how many bytes all files have.
func (d *Disk) Used() int64 {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return d.fs.used
}

// Dead tells whether the power has failed.
func (d *Disk) Dead() bool {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return d.fs.dead
}

// Hit tells what the planned faults of the mounted disk met.
func (d *Disk) Hit() []string {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return slices.Clone(d.fs.hit)
}

// Count returns how many operations of a kind there were.
func (d *Disk) Count(op Op) int {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return d.fs.count[op]
}

// PowerOn mounts what a power cut has left, below the same path. Whoever had files open on the disk must be gone.
func (d *Disk) PowerOn() {
	d.t.Helper()
	if !d.Dead() {
		d.t.Fatal("the power of the fault disk is on")
	}
	d.unmount()
	d.fs = d.fs.left
	if err := d.mount(); err != nil {
		d.t.Fatalf("mount the fault disk again: %v", err)
	}
}

// plan is one planned fault.
type plan struct {
	op     Op
	at     int // by count
	times  int // EIO
	cut    bool
	kept   float64
	random *rand.Rand
}

// memFS is the file system: what processes see, and what a power cut would leave.
type memFS struct {
	fuse.RawFileSystem

	mu      sync.Mutex
	inodes  map[uint64]*inode
	next    uint64
	pending []change // of names, not synced yet, oldest first
	used    int64
	limit   int64 // 0: none
	quota   bool  // the limit is one of a quota
	count   [ops]int
	plans   []plan
	hit     []string // what the planned faults met
	dead    bool
	left    *memFS // once dead
}

// inode is a file, a directory or a symbolic link.
type inode struct {
	id     uint64
	mode   uint32
	links  int
	target string
	attrs  map[string][]byte
	mtime  uint64
	nsec   uint32

	data   []byte // files
	stable []byte
	writes []write // since the last sync

	names  map[string]*inode // directories
	synced map[string]*inode
}

// write is one unsynced write, or a change of length if data is nil.
type write struct {
	off  int64
	data []byte
}

// change is one unsynced operation on names: all of its entries are kept, or none.
type change []entry

type entry struct {
	dir  *inode
	name string
	to   *inode // nil: removed
}

const sector = 512

func newMemFS() *memFS {
	f := &memFS{RawFileSystem: fuse.NewDefaultRawFileSystem(), inodes: map[uint64]*inode{}, next: fuse.FUSE_ROOT_ID}
	f.make(syscall.S_IFDIR | 0o755)
	return f
}

func (f *memFS) make(mode uint32) *inode {
	n := &inode{id: f.next, mode: mode, attrs: map[string][]byte{}}
	if mode&syscall.S_IFMT == syscall.S_IFDIR {
		n.names, n.synced = map[string]*inode{}, map[string]*inode{}
	}
	n.touch()
	f.inodes[n.id] = n
	f.next++
	return n
}

// begin counts an operation and carries out what is planned for it.
func (f *memFS) begin(op Op, n *inode) fuse.Status {
	if f.dead {
		return fuse.EIO
	}
	f.count[op]++
	for _, p := range f.plans {
		switch {
		case p.op != op:
		case p.cut && f.count[op] >= p.at:
			f.hit = append(f.hit, fmt.Sprintf("power cut, keeping %v, at operation %d on %s", p.kept, f.count[op], f.name(n)))
			f.cut(p.kept, p.random)
			return fuse.EIO
		case !p.cut && f.count[op] >= p.at && f.count[op] < p.at+p.times:
			f.hit = append(f.hit, fmt.Sprintf("EIO for %s of %s", []string{"a write", "a sync", "a change of the names"}[op], f.name(n)))
			return fuse.EIO
		}
	}
	return fuse.OK
}

// name finds the last part of an inode's path.
func (f *memFS) name(n *inode) string {
	for _, d := range f.inodes {
		for name, child := range d.names {
			if child == n {
				return name
			}
		}
	}
	return fmt.Sprint("inode ", n.id)
}

// room takes n bytes of the disk.
func (f *memFS) room(n int64) fuse.Status {
	if f.limit > 0 && n > 0 && f.used+n > f.limit {
		if f.quota {
			return fuse.Status(syscall.EDQUOT)
		}
		return fuse.Status(syscall.ENOSPC)
	}
	f.used += n
	return fuse.OK
}

// cut makes the file system that the power cut leaves. Files keep their inode numbers.
func (f *memFS) cut(kept float64, r *rand.Rand) {
	if f.dead {
		return
	}
	keep := func() bool { return kept >= 1 || kept > 0 && r.Float64() < kept }
	for _, c := range f.pending {
		if keep() {
			c.apply()
		}
	}
	left := newMemFS()
	left.next = f.next
	copies := map[*inode]*inode{}
	var dup func(n *inode) *inode
	dup = func(n *inode) *inode {
		if m := copies[n]; m != nil {
			m.links++
			return m
		}
		m := &inode{id: n.id, mode: n.mode, links: 1, target: n.target, attrs: n.attrs, mtime: n.mtime, nsec: n.nsec}
		copies[n] = m
		left.inodes[m.id] = m
		if n.synced == nil {
			m.data = n.afterCut(keep, r)
			m.stable = append([]byte(nil), m.data...)
			left.used += int64(len(m.data))
			return m
		}
		m.names, m.synced = map[string]*inode{}, map[string]*inode{}
		for name, child := range n.synced {
			c := dup(child)
			m.names[name], m.synced[name] = c, c
		}
		return m
	}
	dup(f.inodes[fuse.FUSE_ROOT_ID])
	f.dead, f.left = true, left
}

// afterCut is the content of a file: what was synced, and of each later write the sectors that reached the disk.
func (n *inode) afterCut(keep func() bool, r *rand.Rand) []byte {
	data := append([]byte(nil), n.stable...)
	for _, w := range n.writes {
		if w.data == nil {
			if keep() {
				data = resize(data, w.off)
			}
			continue
		}
		for from := int64(0); from < int64(len(w.data)); {
			to := min(int64(len(w.data)), from+sector-(w.off+from)%sector)
			if keep() {
				if end := w.off + to; end > int64(len(data)) {
					data = resize(data, end)
				}
				copy(data[w.off+from:], w.data[from:to])
			}
			from = to
		}
	}
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	if size <= int64(cap(data)) {
		old := len(data)
		data = data[:size]
		clear(data[old:])
		return data
	}
	bigger := make([]byte, size, max(size, 2*int64(cap(data))))
	copy(bigger, data)
	return bigger
}

func (c change) apply() {
	for _, e := range c {
		if e.to == nil {
			delete(e.dir.synced, e.name)
		} else {
			e.dir.synced[e.name] = e.to
		}
	}
}

func (c change) touches(dirs map[*inode]bool) bool {
	for _, e := range c {
		if dirs[e.dir] {
			return true
		}
	}
	return false
}

// syncDir makes the names of a directory durable, with what they depend on: a rename between two directories is one change, and none is applied before an
// older one of the same directory.
func (f *memFS) syncDir(n *inode) {
	dirs := map[*inode]bool{n: true}
	take := make([]bool, len(f.pending))
	for i := len(f.pending) - 1; i >= 0; i-- {
		if f.pending[i].touches(dirs) {
			take[i] = true
			for _, e := range f.pending[i] {
				dirs[e.dir] = true
			}
		}
	}
	var rest []change
	for i, c := range f.pending {
		if take[i] {
			c.apply()
		} else {
			rest = append(rest, c)
		}
	}
	f.pending = rest
}

// change carries out changes of names for processes and notes them as unsynced.
func (f *memFS) change(c change) {
	for _, e := range c {
		if old := e.dir.names[e.name]; old != nil {
			f.unlink(old)
		}
		if e.to == nil {
			delete(e.dir.names, e.name)
		} else {
			e.dir.names[e.name] = e.to
			e.to.links++
		}
		e.dir.touch()
	}
	f.pending = append(f.pending, c)
}

func (f *memFS) unlink(n *inode) {
	if n.links--; n.links == 0 && n.names == nil {
		f.used -= int64(len(n.data)) // early if it is open somewhere: nobody here counts on that
	}
}

// Tree lists the regular files of the disk, for messages.
func (d *Disk) Tree() (files []string) {
	fs.WalkDir(os.DirFS(d.Dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	return files
}
