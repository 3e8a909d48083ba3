//go:build !linux

package main

import (
	"errors"
	"os"
	"runtime"
	"time"
)

func syncData(f *os.File) error { return f.Sync() }

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }

// pause is as exact as the runtime's timers.
func pause(d time.Duration) { <-time.After(d) }

func evict(*os.File) error {
	return errors.New("a file cannot be taken out of the system's cache on " + runtime.GOOS + ": run replay, open and scale on Linux")
}

func memoryOf(int) (memory, error) {
	return memory{}, errors.New("a process's memory in RAM is not known on " + runtime.GOOS + ": run open, scale and soak on Linux")
}

// allocated is the file's length where blocks are not told.
func allocated(f *os.File) (uint64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return uint64(info.Size()), nil
}
