package logtool_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/logtool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	made    = 200 // events that the store of a test has had
	trimmed = 20  // of these the oldest are gone
)

func record(t *testing.T, n int) eventlog.Record {
	t.Helper()
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wabastreamv1.Event{
		Provider: wabastreamv1.Provider_PROVIDER_NXCLOUD, PhoneNumberId: strconv.Itoa(n), OccurTimeText: "yesterday",
		Payload: &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Field: "f", Json: `{"ü":"\u2028` + strings.Repeat("x", n) + `"}`}},
	})
	require.NoError(t, err)
	r := eventlog.Record{
		Header: eventlog.Header{
			Source: "nxcloud", Type: fmt.Sprintf("type%d.x", n%4), Severity: eventlog.Severity(1 + n%3),
			BusinessPhone: strings.Repeat("1", n%3),
		},
		Payload: payload, Raw: []byte{},
		Horizon: time.Duration(n%3) * time.Hour,
	}
	copy(r.ID[:], fmt.Sprintf("%020d", n))
	if n%5 > 0 {
		r.WABAID, r.WABASource = strconv.Itoa(n%5), eventlog.WABASource(1+n%3)
		r.OccurTime = time.Unix(int64(n), int64(n)).UTC()
	}
	if n%2 > 0 {
		r.Raw = fmt.Appendf(nil, "{\"n\":%d,\n\t\"emoji\":\"\U0001F600\"}", n)
	}
	return r
}

// folderOf makes a log: its oldest records are trimmed, and some of a type.
func folderOf(t *testing.T) logtool.Folder {
	t.Helper()
	folder := logtool.Folder{Dir: filepath.Join(t.TempDir(), "log")}
	now := time.Unix(1_700_000_000, 0)
	log, err := pebblelog.Open(t.Context(), folder.Dir, pebblelog.Options{Now: func() time.Time { return now }})
	require.NoError(t, err)
	for n := range made {
		now = now.Add(time.Duration(n%3) * 1234567 * time.Microsecond)
		_, err := log.Append(t.Context(), []eventlog.Record{record(t, n)})
		require.NoError(t, err)
	}
	require.NoError(t, log.Trim(t.Context(), trimmed))
	require.NoError(t, log.TrimType(t.Context(), "type1", made/2))
	require.NoError(t, log.Close())
	return folder
}

func formats() []logtool.Format {
	return []logtool.Format{logtool.FormatJSONL, logtool.FormatProtobuf}
}

func nothing(uint64, uint64) {}

func exportAll(t *testing.T, folder logtool.Folder, format logtool.Format) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := logtool.Export(t.Context(), folder, logtool.ExportOptions{Format: format, Out: &out, Progress: nothing})
	require.NoError(t, err)
	return out.Bytes()
}

func importAll(t *testing.T, folder logtool.Folder, in []byte) (logtool.Imported, error) {
	t.Helper()
	return logtool.Import(t.Context(), folder, bytes.NewReader(in), int64(len(in)), nothing)
}

func requireSound(t *testing.T, folder logtool.Folder) {
	t.Helper()
	verdict, err := logtool.Verify(t.Context(), folder, func(problem string) { t.Error(problem) }, nothing)
	require.NoError(t, err)
	require.Zero(t, verdict.Problems)
	require.Positive(t, verdict.Events)
}

// What was exported and imported exports the same, in either format, byte for byte.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			from := folderOf(t)
			to := logtool.Folder{Dir: filepath.Join(t.TempDir(), "new", "log")}
			done, err := importAll(t, to, exportAll(t, from, format))
			require.NoError(t, err)
			require.Equal(t, uint64(made-trimmed-20), done.Events)
			for _, other := range formats() {
				require.Equal(t, exportAll(t, from, other), exportAll(t, to, other))
			}
			requireSound(t, to)
			requireSameRecords(t, from, to)
		})
	}
}

// requireSameRecords compares what is stored, not only what is shown.
func requireSameRecords(t *testing.T, a, b logtool.Folder) {
	t.Helper()
	read := func(folder logtool.Folder) []eventlog.Entry {
		r, err := pebblelog.OpenReader(t.Context(), folder.Dir, pebblelog.Options{})
		require.NoError(t, err)
		page, err := r.Read(t.Context(), trimmed)
		require.NoError(t, err)
		require.False(t, page.More)
		require.NoError(t, r.Close())
		for i := range page.Entries {
			page.Entries[i].Position.Log = eventlog.LogID{}
		}
		return page.Entries
	}
	require.Equal(t, read(a), read(b))
}

// An export that was cut off anywhere is continued to the same file.
func TestExportResumes(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			from := folderOf(t)
			whole := exportAll(t, from, format)
			cuts := []int{1, 2, 3, 4, 5, 8, 14, 15, 16, 20}
			for cut := 0; cut <= len(whole); cut += 1 + len(whole)/40 {
				cuts = append(cuts, cut)
			}
			for _, cut := range cuts {
				file := filepath.Join(t.TempDir(), "export")
				require.NoError(t, os.WriteFile(file, whole[:cut], 0o600))
				_, err := logtool.Export(t.Context(), from, logtool.ExportOptions{Format: format, File: file, Progress: nothing})
				require.ErrorContains(t, err, "--resume")
				_, err = logtool.Export(t.Context(), from, logtool.ExportOptions{Format: format, File: file, Resume: true, Progress: nothing})
				require.NoError(t, err)
				got, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, whole, got)
			}
		})
	}
}

// An import that was cut off anywhere is continued with the same input.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	for _, format := range formats() {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			from := folderOf(t)
			whole := exportAll(t, from, format)
			to := logtool.Folder{Dir: filepath.Join(t.TempDir(), "log")}
			for cut := 0; cut < len(whole); cut += 1 + len(whole)/20 {
				_, err := importAll(t, to, whole[:cut])
				if err != nil {
					require.ErrorContains(t, err, "continue with the whole input")
				}
			}
			done, err := importAll(t, to, whole)
			require.NoError(t, err)
			require.Positive(t, done.Held)
			require.Equal(t, whole, exportAll(t, to, format))
			requireSound(t, to)

			done, err = importAll(t, to, whole)
			require.NoError(t, err)
			require.Zero(t, done.Events)
		})
	}
}

func TestExportAfter(t *testing.T) {
	t.Parallel()
	from := folderOf(t)
	whole := exportAll(t, from, logtool.FormatJSONL)
	var out bytes.Buffer
	done, err := logtool.Export(t.Context(), from, logtool.ExportOptions{Format: logtool.FormatJSONL, Out: &out, After: made - 3, Progress: nothing})
	require.NoError(t, err)
	require.Equal(t, logtool.Exported{Events: 3, Last: made}, done)
	require.True(t, bytes.HasSuffix(whole, out.Bytes()))
	require.Equal(t, 3, bytes.Count(out.Bytes(), []byte("\n")))
}

func TestExportResumeRefuses(t *testing.T) {
	t.Parallel()
	other := logtool.Folder{Dir: filepath.Join(t.TempDir(), "other")}
	log, err := pebblelog.Open(t.Context(), other.Dir, pebblelog.Options{})
	require.NoError(t, err)
	_, err = log.Append(t.Context(), []eventlog.Record{record(t, 3), record(t, 2)})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"another log's":  {exportAll(t, other, logtool.FormatJSONL), "the log does not go on from its last event, 2"},
		"another format": {exportAll(t, other, logtool.FormatProtobuf), ""},
		"other text":     {[]byte("hello\n"), "does not begin like an export of --format jsonl"},
		"other JSON":     {[]byte(`{"event":"an only line without an end"}`), "does not begin like an export"},
		"a long line":    {bytes.Repeat([]byte("x"), 1000), "does not begin like an export"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireNotResumed(t, logtool.FormatJSONL, c.content, c.want)
		})
	}
	t.Run("as protobuf", func(t *testing.T) {
		t.Parallel()
		requireNotResumed(t, logtool.FormatProtobuf, []byte("notes of some kind"), "does not begin like an export of --format protobuf")
		requireNotResumed(t, logtool.FormatProtobuf, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "does not begin like an export")
	})
}

// requireNotResumed wants an export to leave a file that holds something else as it is.
func requireNotResumed(t *testing.T, format logtool.Format, content []byte, want string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "export")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	_, err := logtool.Export(t.Context(), folderOf(t), logtool.ExportOptions{Format: format, File: file, Resume: true, Progress: nothing})
	require.ErrorContains(t, err, want)
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, content, got)
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	first, _, _ := bytes.Cut(exportAll(t, folderOf(t), logtool.FormatJSONL), []byte("\n"))
	for name, c := range map[string]struct{ from, to, want string }{
		"an unknown member":  {`"event":`, `"evnet":`, "event 1 of the input"},
		"no id":              {`"id":"`, `"id":"-`, "event id"},
		"no receive time":    {`"receiveTime"`, `"occurTime"`, "receive_time is missing"},
		"no sequence":        {`"sequence":"21",`, ``, "no sequence"},
		"no severity":        {`"severity":"SEVERITY_CRITICAL",`, ``, "severity"},
		"an unknown WABA":    {`"source":`, `"wabaIdSource":7,"source":`, "waba_id_source"},
		"what is not a JSON": {`{"event"`, `{{"event"`, "event 1 of the input"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := strings.Replace(string(first), c.from, c.to, 1)
			require.NotEqual(t, string(first), line)
			_, err := importAll(t, logtool.Folder{Dir: t.TempDir()}, []byte(line+"\n"))
			require.ErrorContains(t, err, c.want)
		})
	}
	done, err := importAll(t, logtool.Folder{Dir: t.TempDir()}, nil)
	require.NoError(t, err)
	require.Zero(t, done.Events)
}

// What was never an export is told from one that was cut off.
func TestImportOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"JSON over several lines": {"{\n  \"event\": {\n    \"id\": \"a\"\n  }\n}\n", "jq -c"},
		"other JSON":              {`{"a":1}` + "\n", "not compressed?"},
		"JSON without an end":     {`{"a":1}`, "not compressed?"},
		"text":                    {"hello world, this is long enough\n", "not compressed?"},
		"something compressed":    {"\x1f\x8b\x08" + strings.Repeat("\x00", 100), "not compressed?"},
		"a huge length":           {"\xff\xff\xff\xff\x7f", "not compressed?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := importAll(t, logtool.Folder{Dir: t.TempDir()}, []byte(c.in))
			require.ErrorContains(t, err, c.want)
		})
	}
}

// An import of something shorter than what is there is a mistake.
func TestImportOfAnOlderExport(t *testing.T) {
	t.Parallel()
	from := folderOf(t)
	whole := exportAll(t, from, logtool.FormatJSONL)
	to := logtool.Folder{Dir: t.TempDir()}
	_, err := importAll(t, to, whole)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	_, err = importAll(t, to, bytes.Join(lines[:10], nil))
	require.ErrorContains(t, err, "the folder holds events up to 200")
	require.Equal(t, whole, exportAll(t, to, logtool.FormatJSONL))
}

func TestInfo(t *testing.T) {
	t.Parallel()
	folder := folderOf(t)
	info, err := logtool.ReadInfo(t.Context(), folder)
	require.NoError(t, err)
	require.Equal(t, uint64(made-trimmed-20), info.Events)
	require.Equal(t, uint64(trimmed+1), info.FirstSequence)
	require.Equal(t, uint64(made), info.LastSequence)
	require.Equal(t, []logtool.TypeTrim{{Type: "type1", LastSequence: 98}}, info.TypeTrims)
	require.Positive(t, info.SizeBytes)
	var text, json bytes.Buffer
	require.NoError(t, info.WriteText(&text))
	for _, want := range []string{"160, sequences 21 to 200", folder.Dir, info.LogID, info.HeadCursor, "type1 up to sequence 98"} {
		require.Contains(t, text.String(), want)
	}
	require.NoError(t, info.WriteJSON(&json))
	require.Contains(t, json.String(), `"events": 160`)
}

func TestRunningServerIsToldAtOnce(t *testing.T) {
	t.Parallel()
	folder := folderOf(t)
	log, err := pebblelog.Open(t.Context(), folder.Dir, pebblelog.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	begun := time.Now()
	_, infoErr := logtool.ReadInfo(t.Context(), folder)
	_, verifyErr := logtool.Verify(t.Context(), folder, nil, nothing)
	_, exportErr := logtool.Export(t.Context(), folder, logtool.ExportOptions{})
	_, importErr := importAll(t, folder, nil)
	for _, err := range []error{infoErr, verifyErr, exportErr, importErr} {
		require.ErrorIs(t, err, pebblelog.ErrInUse)
		require.ErrorContains(t, err, "wabastream backup")
	}
	require.Less(t, time.Since(begun), 10*time.Second)
}

// corrupted damages two records.
func corrupted(t *testing.T) logtool.Folder {
	t.Helper()
	folder := folderOf(t)
	db, err := pebble.Open(folder.Dir, &pebble.Options{FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quiet{}})
	require.NoError(t, err)
	for seq := byte(140); seq < 142; seq++ {
		require.NoError(t, db.Set([]byte{'r', 0, 0, 0, 0, 0, 0, 0, seq}, []byte("damaged"), pebble.Sync))
	}
	require.NoError(t, db.Close())
	return folder
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

func TestDamage(t *testing.T) {
	t.Parallel()
	folder := corrupted(t)
	var problems []string
	verdict, err := logtool.Verify(t.Context(), folder, func(p string) { problems = append(problems, p) }, nothing)
	require.NoError(t, err)
	require.Equal(t, logtool.Verdict{Events: 158, Problems: 1}, verdict)
	require.Contains(t, problems[0], "events 140 to 141: record is malformed")
	require.Contains(t, problems[0], "--skip-corrupt")

	options := logtool.ExportOptions{Format: logtool.FormatJSONL, Out: io.Discard, Progress: nothing}
	_, err = logtool.Export(t.Context(), folder, options)
	require.ErrorContains(t, err, "--skip-corrupt")
	var skipped []uint64
	var out bytes.Buffer
	options.Out, options.SkipCorrupt = &out, true
	options.Skipped = func(first, last uint64) { skipped = append(skipped, first, last) }
	done, err := logtool.Export(t.Context(), folder, options)
	require.NoError(t, err)
	require.Equal(t, uint64(158), done.Events)
	require.Equal(t, []uint64{140, 140, 141, 141}, skipped)
	to := logtool.Folder{Dir: t.TempDir()}
	_, err = importAll(t, to, out.Bytes())
	require.NoError(t, err)
	requireSound(t, to)
}

// An interrupted export or import says so and keeps what it has.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	folder := folderOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "export")
	_, err := logtool.Export(ctx, folder, logtool.ExportOptions{Format: logtool.FormatJSONL, File: file, Progress: nothing})
	require.ErrorIs(t, err, context.Canceled)
	whole := exportAll(t, folder, logtool.FormatJSONL)
	_, err = logtool.Import(ctx, logtool.Folder{Dir: t.TempDir()}, bytes.NewReader(whole), 0, nothing)
	require.ErrorIs(t, err, context.Canceled)
}

// The file holds all that the contract has for an event, and nothing else.
func TestExportedForm(t *testing.T) {
	t.Parallel()
	line, _, _ := bytes.Cut(exportAll(t, folderOf(t), logtool.FormatJSONL), []byte("\n"))
	event := new(wabastreamv1.ExportedEvent)
	require.NoError(t, protojson.Unmarshal(line, event))
	require.Equal(t, uint64(21), event.GetEvent().GetSequence())
	require.Empty(t, event.GetEvent().GetCursor())
	require.Equal(t, 2*time.Hour, event.GetDuplicateHorizon().AsDuration())
	require.NotContains(t, string(line), `": `, "no spaces: the same event is the same line in every build")
}
