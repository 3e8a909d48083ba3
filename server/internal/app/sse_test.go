package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// message is one of server-sent events.
type message struct {
	event, id, data string
}

// sseReader reads a stream as an EventSource does.
type sseReader struct {
	t     *testing.T
	body  io.Closer
	lines *bufio.Reader
	id    string
}

// subscribeSSE opens a stream with the client; headers are pairs.
func subscribeSSE(t *testing.T, client *http.Client, url string, header ...string) *sseReader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req) //nolint:bodyclose // close does
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	return &sseReader{t: t, body: resp.Body, lines: bufio.NewReaderSize(resp.Body, 1<<20)}
}

// next returns the next message with data, false at the end.
func (r *sseReader) next() (m message, ok bool) {
	r.t.Helper()
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return m, false
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			m.event = value
		case "id":
			m.id, r.id = value, value
		case "data":
			m.data = value
		case "": // a comment, or the end of a message
			if line == "\n" && m.data != "" {
				return m, true
			}
			if line == "\n" {
				m = message{}
			}
		}
	}
}

// event returns the next one that is an event of the log, as its field value n says.
func (r *sseReader) event() int {
	r.t.Helper()
	for {
		m, ok := r.next()
		require.True(r.t, ok, "the stream ended")
		if m.event != "" {
			continue
		}
		var event struct {
			Cursor       string
			Unrecognized struct{ JSON string }
		}
		require.NoError(r.t, json.Unmarshal([]byte(m.data), &event))
		require.Equal(r.t, m.id, event.Cursor)
		var body struct{ N int }
		require.NoError(r.t, json.Unmarshal([]byte(event.Unrecognized.JSON), &body))
		return body.N
	}
}

func (r *sseReader) close() { _ = r.body.Close() }

// post has an event made, of which n tells it from others and pad is a part.
func post(t *testing.T, a *running, n int, pad string) {
	t.Helper()
	resp, err := http.Post("http://"+a.Addrs().HTTP+"/webhooks/nxcloud", "application/json", strings.NewReader(fmt.Sprintf(`{"n":%d,"pad":%q}`, n, pad)))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func oneUse() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// A reader that comes again with the last id it was given misses nothing and gets
// nothing twice: after an event, after ready alone, and across a restart.
func TestServerSentEventsResume(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	a := startApp(t, config)
	url := func() string { return "http://" + a.Addrs().API + "/v1/events:sse?from=latest" }
	post(t, a, 0, "")
	r := subscribeSSE(t, oneUse(), url())
	ready, ok := r.next()
	require.True(t, ok)
	require.Equal(t, "ready", ready.event)
	require.NotEmpty(t, ready.id)
	r.close()

	for n := 1; n <= 3; n++ {
		post(t, a, n, "")
	}
	r = subscribeSSE(t, oneUse(), url(), "Last-Event-ID", r.id)
	require.Equal(t, 1, r.event())
	r.close()
	r = subscribeSSE(t, oneUse(), url(), "Last-Event-ID", r.id)
	require.Equal(t, 2, r.event())

	require.NoError(t, a.stop()) // which the stream is told of
	var names []string
	for {
		m, more := r.next()
		if !more {
			break
		}
		names = append(names, m.event)
	}
	require.Equal(t, []string{"closing", "error"}, names[len(names)-2:])
	a = startApp(t, config)
	post(t, a, 4, "")
	r = subscribeSSE(t, oneUse(), url(), "Last-Event-ID", r.id)
	require.Equal(t, 4, r.event(), "3 came before the end")
	r.close()
}

// Readers that do not read hold up nobody: not each other, not who reads, not the
// shutdown.
func TestServerSentEventsToSlowReaders(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.ShutdownTimeout = 2 * time.Second
	a := startApp(t, config)
	const events = 40
	for n := range events {
		post(t, a, n, strings.Repeat("x", 500<<10))
	}
	url := "http://" + a.Addrs().API + "/v1/events:sse?from=earliest"
	for range 10 {
		defer subscribeSSE(t, oneUse(), url).close()
	}
	r := subscribeSSE(t, oneUse(), url)
	defer r.close()
	for n := range events {
		require.Equal(t, n, r.event())
	}
	post(t, a, events, "")
	require.Equal(t, events, r.event())
	require.NoError(t, a.stop())
}

// The same over HTTP/2, which one connection is enough for.
func TestServerSentEventsOverHTTP2(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := testConfig(t)
	config.TLSCertFile, config.TLSKeyFile = ca.pair("insiders")
	config.TLSClientCAFile = filepath.Join(ca.dir, "ca.pem")
	a := startApp(t, config)
	transport := &http.Transport{TLSClientConfig: ca.client(true), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var readers []*sseReader
	for range 20 { // more than browsers open connections
		r := subscribeSSE(t, client, "https://"+a.Addrs().API+"/v1/events:sse?from=earliest")
		defer r.close()
		readers = append(readers, r)
	}
	post(t, a, 7, "")
	for _, r := range readers {
		require.Equal(t, 7, r.event())
	}
}
