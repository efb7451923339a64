// Package faults breaks what is below and around a running palate, the real binary: its disk, its S3, its clock, its process. Whatever happens, what was
// acknowledged is there afterwards, a job ends as if nothing had happened or leaves everything as it was, and nobody comes back from the dead. docs/reliability.md
// has the table of faults. The package has tests only.
package faults
