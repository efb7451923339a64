//go:build unix && !linux

package vec

func hugePages([]byte) {}
