package verify

import (
	"encoding/binary"
	"errors"
	"os"
	"time"
)

// A filter of late events, as FORMAT.md of package dataset describes it: magic, 8 bytes expiry in unix seconds.
const lateMagic = "PALLATE1"

// late is the look at a filter of late events: it holds hashes, and is not kept longer than it says.
func (s *search) late(f file) error {
	s.raw = append(s.raw, region{"late-event filter", f.path, 0})
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if len(data) < 16 || string(data[:8]) != lateMagic {
		return errors.New("is damaged")
	}
	if expiry := time.Unix(int64(binary.LittleEndian.Uint64(data[8:])), 0); time.Since(expiry) > time.Hour {
		return errors.New("has expired and is still there")
	}
	return nil
}
