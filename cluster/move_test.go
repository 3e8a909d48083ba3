package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/app"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/logtool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func noProgress(uint64, uint64) {}

func export(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := logtool.Export(t.Context(), logtool.Folder{Dir: dir, LockWait: 10 * time.Second}, logtool.ExportOptions{Format: "jsonl", Out: &out, Progress: noProgress, Skipped: noProgress})
	require.NoError(t, err)
	return out.Bytes()
}

func post(t *testing.T, p *process, n int) {
	t.Helper()
	body := fmt.Appendf(nil, `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"wabaId":"waba%d","n":"%d"}}`, n%3, n)
	resp, err := http.Post("http://"+p.addrs.HTTP+"/webhooks/nxcloud", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// idsAfter subscribes up to the head and returns the ids that came.
func idsAfter(t *testing.T, p *process, request *wabastreamv1.SubscribeRequest) (ids []string, err error) {
	t.Helper()
	conn, err := grpc.NewClient(p.addrs.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	request.Stop = &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
	stream, err := wabastreamv1.NewEventServiceClient(conn).Subscribe(t.Context(), request)
	require.NoError(t, err)
	for {
		frame, err := stream.Recv()
		if err != nil {
			if err == io.EOF { //nolint:errorlint // gRPC returns it as it is
				err = nil
			}
			return ids, err
		}
		for _, e := range frame.GetBatch().GetEvents() {
			ids = append(ids, e.GetId())
		}
	}
}

// A company moves from one machine to a cluster: events keep their ids, order,
// sequences and times, a consumer goes on after the last event that it has seen, and
// its old cursor is refused, with what to do instead.
func TestMoveFromEmbeddedToJetStream(t *testing.T) {
	t.Parallel()
	old := newServer(t, func(*app.Config) {})
	for n := range 60 {
		post(t, old, n)
	}
	before := everything(t, old.addrs.GRPC)
	require.Len(t, before, 60)
	old.stop()
	exported := export(t, old.config.DataDir)

	// The oldest are left out, as retention would, and it is cut off and begun again.
	url := oneServer(t)
	config := old.config
	config.DataDir = t.TempDir()
	onJetStream(&config, "MOVED", 1, url)
	part := exported[:len(exported)*2/3]
	_, err := importInto(t.Context(), config, part)
	require.ErrorContains(t, err, "it was cut off")
	done, err := importInto(t.Context(), config, exported)
	require.NoError(t, err)
	require.Equal(t, uint64(60), done.Events+done.Held)
	require.NotZero(t, done.Held)

	fresh := newServer(t, func(c *app.Config) { onJetStream(c, "MOVED", 1, url) })
	second := newServer(t, func(c *app.Config) { onJetStream(c, "MOVED", 1, url) })
	post(t, fresh, 1000)
	post(t, second, 30) // a duplicate of what was imported
	after := everything(t, second.addrs.GRPC)
	require.Len(t, after, 61)
	for i := range before {
		require.Equal(t, before[i].GetId(), after[i].GetId())
		require.Equal(t, before[i].GetSequence(), after[i].GetSequence())
		require.Equal(t, before[i].GetReceiveTime().AsTime(), after[i].GetReceiveTime().AsTime())
	}
	ids, err := idsAfter(t, fresh, &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: before[40].GetId()}})
	require.NoError(t, err)
	require.Len(t, ids, 20)
	require.Equal(t, after[41].GetId(), ids[0])
	_, err = idsAfter(t, fresh, &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: before[40].GetCursor()}})
	require.Equal(t, "CURSOR_LOG_MISMATCH", reasonOf(err))
	ids, err = idsAfter(t, second, &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: after[40].GetCursor()}})
	require.NoError(t, err)
	require.Len(t, ids, 20, "a cursor is good on every replica")

	fresh.stop()
	copies, err := filepath.Glob(filepath.Join(fresh.config.DataDir, "replica", "*"))
	require.NoError(t, err)
	require.Len(t, copies, 1)
	require.True(t, bytes.HasPrefix(export(t, copies[0]), exported), "what is exported again begins with the same bytes")
	_, err = importInto(t.Context(), config, exported)
	require.ErrorContains(t, err, "is not an import of this input that was cut off")
}

func importInto(ctx context.Context, config app.Config, in []byte) (logtool.Imported, error) {
	target, err := app.OpenImport(ctx, config, nil)
	if err != nil {
		return logtool.Imported{}, err
	}
	return logtool.ImportInto(ctx, target, bytes.NewReader(in), int64(len(in)), noProgress)
}

// What the export lacks in the beginning is as if it had been trimmed.
func TestMoveOfAPart(t *testing.T) {
	t.Parallel()
	old := newServer(t, func(*app.Config) {})
	for n := range 20 {
		post(t, old, n)
	}
	old.stop()
	lines := bytes.SplitAfter(export(t, old.config.DataDir), []byte("\n"))
	kept := append(bytes.Join(lines[5:10], nil), bytes.Join(lines[14:], nil)...)
	url := oneServer(t)
	config := old.config
	config.DataDir = t.TempDir()
	onJetStream(&config, "PART", 1, url)
	_, err := importInto(t.Context(), config, kept)
	require.NoError(t, err)
	fresh := newServer(t, func(c *app.Config) { onJetStream(c, "PART", 1, url) })
	var got []uint64
	for _, e := range everything(t, fresh.addrs.GRPC) {
		got = append(got, e.GetSequence())
	}
	require.Equal(t, []uint64{6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20}, got)
	fresh.stop()
	copies, err := filepath.Glob(filepath.Join(fresh.config.DataDir, "replica", "*"))
	require.NoError(t, err)
	require.Equal(t, string(kept), string(export(t, copies[0])))
}

// What the accounts are from events that are gone moves along, and so does what is left
// of a log of which everything is gone. An import that is cut off among the state, or
// behind it, is continued.
func TestMoveOfTrimmedLogWithAccounts(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]eventlog.Sequence{"some events": 4, "none": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newServer(t, func(*app.Config) {})
			for _, body := range life() {
				postBody(t, old, body)
			}
			want := stateOf(t, old, headOf(t, old))
			old.stop()
			trimEmbedded(t, old.config.DataDir, keep)
			exported := export(t, old.config.DataDir)
			old.start()
			require.Equal(t, want, stateOf(t, old, headOf(t, old)))

			url := oneServer(t)
			config := old.config
			config.DataDir = t.TempDir()
			onJetStream(&config, "MOVED", 1, url)
			for _, cut := range []int{1, 2, 3} {
				_, err := importInto(t.Context(), config, exported[:len(exported)*cut/4])
				require.ErrorContains(t, err, "the input ends")
				config.DataDir = t.TempDir()
			}
			_, err := importInto(t.Context(), config, exported)
			require.NoError(t, err)
			_, err = importInto(t.Context(), config, exported)
			require.NoError(t, err, "again")

			onMoved := func(c *app.Config) { onJetStream(c, "MOVED", 1, url) }
			first, second := newServer(t, onMoved), newServer(t, onMoved)
			for _, p := range []*process{first, second} {
				require.Equal(t, withoutPlaces(t, want), withoutPlaces(t, stateOf(t, p, headOf(t, p))))
			}
			for n := range 20 {
				post(t, old, n)
				post(t, []*process{first, second}[n%2], n)
			}
			grown := withoutPlaces(t, stateOf(t, old, headOf(t, old)))
			for _, p := range []*process{first, second} {
				require.Equal(t, grown, withoutPlaces(t, stateOf(t, p, headOf(t, second))))
			}
			first.stop()
			copies, err := filepath.Glob(filepath.Join(first.config.DataDir, "replica", "*"))
			require.NoError(t, err)
			require.Len(t, copies, 1)
			require.True(t, bytes.HasPrefix(export(t, copies[0]), exported), "what is exported again begins with the same bytes")
		})
	}
}

func trimEmbedded(t *testing.T, dir string, keep eventlog.Sequence) {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{})
	require.NoError(t, err)
	_, err = log.Project(t.Context(), accounts.Projection())
	require.NoError(t, err)
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	require.NoError(t, log.Trim(t.Context(), bounds.Head.Sequence-keep))
	require.NoError(t, log.Close())
}

// A replica that runs on the empty stream while that is filled is told to start again,
// and has then what was imported.
func TestImportIntoAStreamInUse(t *testing.T) {
	t.Parallel()
	old := newServer(t, func(*app.Config) {})
	for _, body := range life() {
		postBody(t, old, body)
	}
	want := stateOf(t, old, headOf(t, old))
	old.stop()
	trimEmbedded(t, old.config.DataDir, 4)
	exported := export(t, old.config.DataDir)

	url := oneServer(t)
	o := on("BUSY", 1, t.TempDir(), url)
	running := replica{o}.open(t, time.Now)
	_, err := running.Project(t.Context(), accounts.Projection())
	require.NoError(t, err)
	config := old.config
	config.DataDir = t.TempDir()
	onJetStream(&config, "BUSY", 1, url)
	_, err = importInto(t.Context(), config, exported)
	require.NoError(t, err)
	<-running.Failed()
	require.ErrorContains(t, running.Err(), "start again")
	require.NoError(t, running.Close())
	again := newServer(t, func(c *app.Config) {
		onJetStream(c, "BUSY", 1, url)
		c.DataDir = o.Dir
	})
	require.Equal(t, withoutPlaces(t, want), withoutPlaces(t, stateOf(t, again, headOf(t, again))))
}
