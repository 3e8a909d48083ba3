package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// served is a client's end of a connection to a server with a handler, which is gone
// when the test ends. The handler must be what is served.
func served(t *testing.T, handler http.Handler) net.Conn {
	t.Helper()
	incoming := make(chan net.Conn, 1)
	client, accepted := net.Pipe()
	incoming <- accepted
	s := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(pipes{incoming})
	}()
	t.Cleanup(func() {
		_ = client.Close()
		close(incoming) // s waits until Accept returns
		_ = s.Close()
		<-done
	})
	return client
}

// A body that is announced, not read by any handler and never sent holds up a
// connection for so long and no longer.
func TestBodyThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		client := served(t, boundBodies(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })))
		_, err := io.WriteString(client, "GET /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		require.NoError(t, err)
		all, err := io.ReadAll(client)
		require.NoError(t, err, "the connection is closed")
		require.Contains(t, string(all), "ok")
		require.Equal(t, readTimeout, time.Since(began).Truncate(time.Second))
	})
}

// The limit is one body's: an answer that takes longer is not cut off when the body
// was read, nor is there one without a body.
func TestAnswerMayTakeLonger(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			client := served(t, boundBodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
				select {
				case <-time.After(10 * readTimeout):
				case <-r.Context().Done():
					err = r.Context().Err()
				}
				_, _ = fmt.Fprint(w, err)
			})))
			_, err := fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", length, "{}"[:length])
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(client), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, "<nil>", string(text))
		})
	}
}

// Of what follows an ambiguous request on its connection nothing is answered.
func TestEndAmbiguous(t *testing.T) {
	t.Parallel()
	const next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		answers int
	}{
		"length":           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}" + next, 2},
		"chunks":           {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + next, 1},
		"chunks, length":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, 1},
		"HTTP/1.0":         {"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n" + next, 1},
		"HTTP/1.0, chunks": {"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := served(t, endAmbiguous(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/next" {
					w.Header().Set("Connection", "close")
				}
			})))
			go func() { _, _ = io.WriteString(client, c.request) }() // not all of it is read
			answers := bufio.NewReader(client)
			for n := range c.answers {
				resp, err := http.ReadResponse(answers, nil)
				require.NoError(t, err, n)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, n == c.answers-1, resp.Close)
			}
			_, err := answers.ReadByte()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}
