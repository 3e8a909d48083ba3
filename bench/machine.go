package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// machine is what the figures depend on.
type machine struct {
	OS          string  `json:"os"`
	Cores       int     `json:"cores"`
	Go          string  `json:"go"`
	FsyncMicros float64 `json:"fsync_p50_us"`
}

// describeMachine measures the disk below dir.
func describeMachine(dir string) (machine, error) {
	m := machine{OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	var err error
	if m.FsyncMicros, err = fsyncMicros(dir); err != nil {
		return m, fmt.Errorf("measure a sync: %w", err)
	}
	return m, nil
}

// String is one line for people.
func (m machine) String() string {
	line := fmt.Sprintf("%s, %d cores, %s, a sync of 4 KiB appended takes %s µs (p50)", m.OS, m.Cores, m.Go, figure(m.FsyncMicros))
	if m.FsyncMicros < 10 {
		line += "; that is memory, not a disk: choose another --dir"
	}
	return line
}

// fsyncMicros is the median of appending 4 KiB and syncing it.
func fsyncMicros(dir string) (_ float64, err error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4<<10)
	var took []float64
	for range 300 {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := syncData(f); err != nil {
			return 0, err
		}
		took = append(took, micros(time.Since(start)))
	}
	return median(took), nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// memory is what a process has in RAM, in bytes: now, and at most since it began.
type memory struct{ resident, peak uint64 }

// eachFile calls visit with every file below dir, open for reading. A store that
// is open may remove files meanwhile.
func eachFile(dir string, visit func(*os.File) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // a folder made here
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(visit(f), f.Close())
	})
}

// coolDown takes a closed store out of the operating system's cache.
func coolDown(dir string) error { return eachFile(dir, evict) }

// warmUp brings a store into the operating system's cache.
func warmUp(dir string) error {
	return eachFile(dir, func(f *os.File) error {
		_, err := io.Copy(io.Discard, f)
		return err
	})
}

// diskBytes is the size of all files below dir. A file that is larger than what
// was written to it counts with what it takes up.
func diskBytes(dir string) (uint64, error) {
	var total uint64
	err := eachFile(dir, func(f *os.File) error {
		n, err := allocated(f)
		total += n
		return err
	})
	return total, err
}
