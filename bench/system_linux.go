package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// syncData makes a file's content durable, without its times.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// pause waits by the system's clock; a signal ends it early.
func pause(d time.Duration) {
	left := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&left, nil)
}

// evict takes a file out of the operating system's cache. Unlike dropping all
// caches it needs no rights and disturbs nobody else on the machine.
func evict(f *os.File) error {
	// Pages that are not on disk yet would stay.
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// memoryOf asks how much memory of a process is in RAM.
func memoryOf(pid int) (memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return parseMemory(status)
}

func parseMemory(status []byte) (m memory, err error) {
	if m.resident, err = parseKiB(status, "VmRSS:"); err != nil {
		return m, err
	}
	m.peak, err = parseKiB(status, "VmHWM:")
	return m, err
}

func parseKiB(status []byte, name string) (uint64, error) {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, errors.New("no " + name + " in the process's status: has it ended?")
	}
	kib, err := strconv.ParseUint(string(fields[0]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s %w", name, err)
	}
	return kib << 10, nil
}

// allocated is what a file takes up on disk.
func allocated(f *os.File) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return 0, err
	}
	return uint64(stat.Blocks) * 512, nil
}
