package main

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// floodedMiB is the most memory that the server may take while it is flooded: at
// grpc_addr that includes the 10,000 subscriptions that one machine may have.
const floodedMiB = 512

// frameFlood is a way to keep a server busy with frames: a step is done over and over.
// It may end when the server has had enough.
type frameFlood struct {
	name  string
	begin func(f *frames) error
	step  func(f *frames, n int) error
	deaf  bool // reads nothing of what the server says
	heavy bool // a step is much for the server: there are fewer
}

func frameFloods() []frameFlood {
	opened := func(f *frames) error { return f.open(true, f.block()) }
	filler := hpack.HeaderField{Name: "x-filler", Value: strings.Repeat("x", 3900)}
	return []frameFlood{
		{name: "reset", step: func(f *frames, _ int) error {
			if err := f.open(true, f.block()); err != nil {
				return err
			}
			return f.WriteRSTStream(f.stream, http2.ErrCodeCancel)
		}},
		{name: "reset once it is under way", step: func(f *frames, _ int) error {
			if err := f.open(true, f.block()); err != nil {
				return err
			}
			if err := f.WriteData(f.stream, true, f.body()); err != nil {
				return err
			}
			return f.WriteRSTStream(f.stream, http2.ErrCodeCancel)
		}},
		{name: "reset by mistakes", step: func(f *frames, _ int) error {
			if err := f.open(true, f.block()); err != nil {
				return err
			}
			return f.WriteWindowUpdate(f.stream, 1<<31-1) // too much: the server resets
		}},
		{name: "settings", step: func(f *frames, n int) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n)})
		}},
		{name: "pings", step: func(f *frames, n int) error { return f.WritePing(false, [8]byte{byte(n)}) }},
		{name: "pings, and does not listen", deaf: true, step: func(f *frames, n int) error { return f.WritePing(false, [8]byte{byte(n)}) }},
		{name: "requests, and does not listen", deaf: true, step: func(f *frames, _ int) error {
			if err := f.open(true, f.block()); err != nil {
				return err
			}
			return f.WriteData(f.stream, true, f.body())
		}},
		{name: "continuations", begin: func(f *frames) error { return f.open(false, f.block()) }, step: func(f *frames, _ int) error {
			f.table.Reset()
			_ = f.names.WriteField(hpack.HeaderField{Name: "x-filler", Value: strings.Repeat("y", 3900), Sensitive: true})
			return f.WriteContinuation(f.stream, false, f.table.Bytes())
		}},
		{name: "empty continuations", begin: func(f *frames) error { return f.open(false, f.block()) },
			step: func(f *frames, _ int) error { return f.WriteContinuation(f.stream, false, nil) }},
		{name: "headers out of the table", heavy: true, step: func(f *frames, _ int) error {
			// The first one fills the table, those after it are a byte each.
			return f.open(true, append(bytes.Clone(f.block(filler, filler)), bytes.Repeat([]byte{0x80 | 62}, 10_000)...))
		}},
		{name: "empty data", begin: opened, step: func(f *frames, _ int) error { return f.WriteData(f.stream, false, nil) }},
		{name: "windows", begin: opened, step: func(f *frames, _ int) error { return f.WriteWindowUpdate(f.stream, 1) }},
		{name: "priorities", step: func(f *frames, n int) error {
			return f.WritePriority(uint32(2*n+1), http2.PriorityParam{StreamDep: uint32(2*n + 3)})
		}},
	}
}

// requireUnderstood checks that a whole request of what floods are made of is answered:
// else they would be turned away for another reason.
func requireUnderstood(t *testing.T, target target) {
	t.Helper()
	f := openFrames(t, target, time.Minute, true)
	require.NoError(t, f.open(true, f.block()))
	require.NoError(t, f.WriteData(f.stream, true, f.body()))
	require.NoError(t, f.out.Flush())
	select {
	case <-f.heard:
	case <-f.read:
	}
	require.Equal(t, 1, f.close(t), "streams answered by %s", target.name)
}

// run sends so many steps, or until the server or the time ends it, and returns how
// many there were and how many of them were answered.
func (flood frameFlood) run(t *testing.T, target target, steps int, lasts time.Duration) (sent, answered int) {
	t.Helper()
	f := openFrames(t, target, lasts, !flood.deaf)
	var err error
	if flood.begin != nil {
		err = flood.begin(f)
	}
	for ; err == nil && sent < steps; sent++ {
		err = flood.step(f, sent)
	}
	if err == nil {
		err = f.out.Flush()
	}
	if err == nil && !flood.deaf {
		f.settle(t)
	}
	return sent, f.close(t)
}

// Floods of frames against every listener that speaks HTTP/2 end nothing but the
// connections that they come over: no stream is answered twice, whoever is loyal is
// served all through, and nothing is left behind.
func TestAbuseByFrames(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"plaintext": nil, "TLS": withTLS(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBesieged(t, args...)
			posted := startLoyal(t, b, "before").afterSome(t).finish()
			b.probe(t, args != nil)
			before := b.holds(t)
			l := startLoyal(t, b, "during")
			for _, target := range b.targets(args != nil) {
				if target.tls || target.name == "grpc" { // else HTTP/1.1 only
					b.flood(t, target)
				}
			}
			l.afterSome(t).requireServed(t)
			for id := range l.finish() {
				posted[id] = true
			}
			require.Equal(t, len(posted), b.events(t))
			after := b.requireCalm(t, before)
			t.Logf("%d callbacks of the provider; before %v, after %v", len(posted), before, after)
			require.NoError(t, b.stop())
		})
	}
}

// flood does everything to one listener, over several connections at a time.
func (b *besieged) flood(t *testing.T, target target) {
	t.Helper()
	const connections = 4
	most, deafness := 1000, 300*time.Millisecond
	if fullRounds() {
		most, deafness = 100_000, 10*time.Second
	}
	requireUnderstood(t, target)
	for _, flood := range frameFloods() {
		steps, lasts := most, time.Minute
		if flood.heavy {
			steps /= 20
		}
		if flood.deaf {
			lasts = deafness
		}
		var mu sync.Mutex
		var sent, answered int
		var floods sync.WaitGroup
		b.resetPeak(t)
		began := time.Now()
		for range connections {
			floods.Go(func() {
				s, a := flood.run(t, target, steps, lasts)
				mu.Lock()
				defer mu.Unlock()
				sent, answered = sent+s, answered+a
			})
		}
		floods.Wait()
		took := time.Since(began)
		b.probe(t, target.tls)
		peak := b.memory(t, "VmHWM")
		require.Less(t, peak, floodedMiB*memoryFactor, "%s, %s", target.name, flood.name)
		t.Logf("%s, %s: %d sent in %v, %d streams answered; memory peak %d MiB",
			target.name, flood.name, sent, took.Round(time.Millisecond), answered, peak)
	}
}

// probe checks that the API answers, over HTTP and gRPC.
func (b *besieged) probe(t *testing.T, secure bool) {
	t.Helper()
	resp, err := b.client.Get(b.api + "/v1/log")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	creds := insecure.NewCredentials()
	if secure {
		creds = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	conn, err := grpc.NewClient(b.grpc, grpc.WithTransportCredentials(creds))
	require.NoError(t, err)
	defer conn.Close()
	_, err = wabastreamv1.NewEventServiceClient(conn).GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
}
