package vec

import "golang.org/x/sys/unix"

func hugePages(data []byte) { _ = unix.Madvise(data, unix.MADV_HUGEPAGE) }
