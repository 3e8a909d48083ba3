package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// ran runs a command line in this process.
func ran(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(args, environ, &out, &errOut)
	return code, out.String(), errOut.String()
}

// mustRun runs a command line that succeeds and returns what it printed.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := ran(t, nil, args...)
	require.Zero(t, code, stderr)
	return stdout
}

// The commands on a server's folder: refused while it runs, right once it has
// stopped.
func TestLogCommands(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	p := startProcess(t, dir)
	for n := range 10 {
		status, err := p.post(t.Context(), callbackOf(strconv.Itoa(n)))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
	}
	code, _, stderr := ran(t, nil, "log", "verify", "--data-dir", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "in use")
	require.Contains(t, stderr, "--lock-wait")

	waiting := make(chan string)
	go func() {
		_, stdout, _ := ran(t, nil, "log", "info", "--data-dir", dir, "--lock-wait", "30s")
		waiting <- stdout
	}()
	require.NoError(t, p.stop())
	require.Contains(t, <-waiting, "events    10, sequences 1 to 10")

	file, fresh := filepath.Join(t.TempDir(), "events.jsonl"), filepath.Join(t.TempDir(), "fresh")
	require.Contains(t, mustRun(t, "log", "info", "--data-dir", dir, "--json"), `"events": 10`)
	require.Contains(t, mustRun(t, "log", "verify", "--data-dir", dir), "10 events verified")
	mustRun(t, "log", "export", "--data-dir", dir, "--output", file)
	require.Contains(t, mustRun(t, "log", "import", "--data-dir", fresh, "--input", file), "10 events imported")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(whole), mustRun(t, "log", "export", "--data-dir", fresh))

	rebuilt := mustRun(t, "log", "rebuild-accounts", "--data-dir", dir)
	require.Equal(t, "the state of accounts was made again, up to event 10: 0 values differed\n", rebuilt)
	require.Equal(t, rebuilt, mustRun(t, "log", "rebuild-accounts", "--data-dir", fresh))
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	code, _, _ = ran(t, nil, "log", "rebuild-accounts", "--data-dir", nowhere)
	require.Equal(t, 1, code)
	require.NoDirExists(t, nowhere)

	// A server runs on it, and knows what it has.
	restored := startProcess(t, fresh)
	events, err := everything(t, restored, fromEarliest())
	require.NoError(t, err)
	require.Len(t, events, 10)
	status, err := restored.post(t.Context(), callbackOf("3"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	events, err = everything(t, restored, fromEarliest())
	require.NoError(t, err)
	require.Len(t, events, 10, "a duplicate is one still")
}

func TestLogCommandsFindTheFolder(t *testing.T) {
	t.Parallel()
	dir := manyEvents(t, 5)
	code, stdout, _ := ran(t, []string{"WABASTREAM_DATA_DIR=" + dir, "WABASTREAM_HTTP_ADDR=nonsense"}, "log", "info")
	require.Zero(t, code)
	require.Contains(t, stdout, "sequences 1 to 5")
	file := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(file, []byte("data_dir: "+dir+"\nretention_age: 5h\n"), 0o600))
	require.Contains(t, mustRun(t, "log", "info", "--config", file), "sequences 1 to 5")
}

func TestLogCommandsRefuse(t *testing.T) {
	t.Parallel()
	dir := manyEvents(t, 5)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no such command":       {[]string{"log", "fix"}, `unknown command "fix"; see wabastreamd log --help`},
		"an argument":           {[]string{"log", "info", "x"}, `wabastreamd log info takes no arguments, but has "x"`},
		"no log":                {[]string{"log", "info", "--data-dir", filepath.Join(dir, "x")}, "there is no log"},
		"another format":        {[]string{"log", "export", "--format", "csv"}, "want jsonl or protobuf"},
		"resume to nowhere":     {[]string{"log", "export", "--resume"}, "--output"},
		"import of nothing":     {[]string{"log", "import"}, "--input"},
		"import of what is not": {[]string{"log", "import", "--input", filepath.Join(dir, "x")}, "no such file"},
		"a negative wait":       {[]string{"log", "info", "--lock-wait", "-1s"}, "--lock-wait"},
		"a server's option":     {[]string{"log", "info", "--http-addr", "x"}, "unknown flag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := ran(t, nil, c.args...)
			require.Equal(t, 1, code)
			require.Contains(t, stderr, c.want)
		})
	}
}

func TestLogHelpAndCompletion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"log"}, {"log", "info"}, {"log", "verify"}, {"log", "export"}, {"log", "import"}} {
		help := mustRun(t, append(args, "--help")...)
		require.Contains(t, help, "Examples:\n  ")
		require.Contains(t, help, "wabastreamd "+strings.Join(args, " "))
	}
	require.Contains(t, mustRun(t, "__complete", "log", ""), "verify\t")
	require.Contains(t, mustRun(t, "__complete", "log", "export", "--format", ""), "protobuf\n")
	require.Contains(t, mustRun(t, "completion", "bash"), "wabastreamd")
}

// manyEvents makes a stopped server's folder.
func manyEvents(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	log, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{})
	require.NoError(t, err)
	for from := 0; from < n; from += 1000 {
		var records []eventlog.Record
		for i := from; i < min(from+1000, n); i++ {
			r := eventlog.Record{
				Header: eventlog.Header{Source: "nxcloud", Type: "t", WABAID: strconv.Itoa(i % 100), WABASource: eventlog.WABAPayload, Severity: eventlog.SeverityInfo},
				Raw:    fmt.Appendf(nil, `{"n":%d,"text":%q}`, i, strings.Repeat("x", 300)), Horizon: time.Hour,
			}
			copy(r.ID[:], fmt.Sprintf("%020d", i))
			records = append(records, r)
		}
		_, err := log.Append(t.Context(), records)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	return dir
}

// tool is a command line as a process that can be killed.
func tool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsServer+"=1")
	cmd.Stderr = t.Output()
	return cmd
}

// An import that kill -9 ended goes on to the same log.
func TestKillImport(t *testing.T) {
	t.Parallel()
	const events = 10_000
	whole := mustRun(t, "log", "export", "--data-dir", manyEvents(t, events))
	fresh := filepath.Join(t.TempDir(), "fresh")
	for _, part := range []int{60, 80} {
		cmd := tool(t, "log", "import", "--data-dir", fresh, "--input", "-")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.WriteString(in, whole[:len(whole)*part/100])
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		info := mustRun(t, "log", "info", "--data-dir", fresh)
		require.NotContains(t, info, "events    none", "it had begun")
		require.NotContains(t, info, fmt.Sprintf("sequences 1 to %d\n", events), "it had not ended")
		mustRun(t, "log", "verify", "--data-dir", fresh)
	}
	file := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(whole), 0o600))
	mustRun(t, "log", "import", "--data-dir", fresh, "--input", file)
	require.Equal(t, whole, mustRun(t, "log", "export", "--data-dir", fresh))
	mustRun(t, "log", "verify", "--data-dir", fresh)
}

// An export that kill -9 ended goes on to the same file.
func TestKillExport(t *testing.T) {
	t.Parallel()
	dir := manyEvents(t, 20_000)
	for _, format := range []string{"jsonl", "protobuf"} {
		whole := mustRun(t, "log", "export", "--data-dir", dir, "--format", format)
		file := filepath.Join(t.TempDir(), format)
		cmd := tool(t, "log", "export", "--data-dir", dir, "--format", format, "--output", file)
		require.NoError(t, cmd.Start())
		for size := int64(0); size == 0; {
			if info, err := os.Stat(file); err == nil {
				size = info.Size()
			}
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // a process that was quicker is no fault
		mustRun(t, "log", "export", "--data-dir", dir, "--format", format, "--output", file, "--resume")
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, whole, string(got))
	}
}
