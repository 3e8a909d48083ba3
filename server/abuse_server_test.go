package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	besiegedKey    = "loyal"
	besiegedSecret = "of the loyal application"
)

// besieged is a server process whose only source wants signatures, and what can be
// measured of it from outside.
type besieged struct {
	*process
	front string // host and port of http_addr
}

func startBesieged(t *testing.T, args ...string) *besieged {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	config := write("config.yaml", fmt.Sprintf("sources:\n  - name: nxcloud\n    access_keys:\n      - key: %s\n        secret_file: %s\n",
		besiegedKey, write("secret", besiegedSecret)))
	b := &besieged{process: startProcess(t, filepath.Join(dir, "data"), append(args, "--config="+config)...)}
	b.front = b.find(`callbacks +https?://([^/]+)`)
	return b
}

// memory is the process's resident memory in MiB: a line of its status, VmRSS for now,
// VmHWM for the most since resetPeak.
func (b *besieged) memory(t *testing.T, line string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	require.NoError(t, err)
	match := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	return kib >> 10
}

func (b *besieged) resetPeak(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", b.cmd.Process.Pid), []byte("5"), 0o200))
}

// metrics are the process's samples by name and labels.
func (b *besieged) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	resp, err := b.client.Get(b.api + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	samples := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		at := strings.LastIndexByte(lines.Text(), ' ') // a label's value may have others
		samples[lines.Text()[:at]], err = strconv.ParseFloat(lines.Text()[at+1:], 64)
		require.NoError(t, err)
	}
	return samples
}

// calm is what a server holds while nobody does anything to it.
type calm struct {
	goroutines, files float64
	series            int
	heap, memory      int // MiB; what is alive of the one, resident of the other
}

// String tells all of it.
func (c calm) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f files, %d series, %d MiB of heap, %d MiB", c.goroutines, c.files, c.series, c.heap, c.memory)
}

// holds collects garbage and returns what is left.
func (b *besieged) holds(t *testing.T) calm {
	t.Helper()
	before := b.metrics(t)["go_memstats_last_gc_time_seconds"]
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGUSR1))
	var now map[string]float64
	require.Eventually(t, func() bool {
		now = b.metrics(t)
		return now["go_memstats_last_gc_time_seconds"] > before
	}, time.Minute, 20*time.Millisecond, "memory is not freed")
	return calm{
		goroutines: now["go_goroutines"], files: now["process_open_fds"],
		series: len(now), heap: int(now["go_memstats_heap_alloc_bytes"]) >> 20, memory: b.memory(t, "VmRSS"),
	}
}

// requireCalm waits until the server holds about as much as before. Its caches of blocks
// (48 MiB) and of the log (96 MiB) may have filled meanwhile.
func (b *besieged) requireCalm(t *testing.T, before calm) (after calm) {
	t.Helper()
	const few, cachesMiB = 20, 48 + 96
	deadline := time.Now().Add(time.Minute)
	for {
		after = b.holds(t)
		if after.goroutines <= before.goroutines+few && after.files <= before.files+few && after.heap <= before.heap+cachesMiB &&
			(raceDetector || after.memory <= before.memory+cachesMiB) { // the detector's own memory stays
			break
		}
		require.True(t, time.Now().Before(deadline), "the server held %v before and holds %v a minute later", before, after)
		pause(t.Context(), 100*time.Millisecond)
	}
	require.LessOrEqual(t, after.series, before.series+few, "series")
	return after
}

// events is how many the log holds.
func (b *besieged) events(t *testing.T) int {
	t.Helper()
	return int(b.metrics(t)["wabastream_log_events"])
}
