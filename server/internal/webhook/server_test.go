package webhook

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// These tests speak HTTP over a socket: what net/http does to requests on the
// way in is part of what they check.

// dial starts a server for the handler and opens a connection to it.
func dial(t *testing.T, h http.Handler) *net.TCPConn {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // some tests close it earlier
	return conn.(*net.TCPConn)
}

const requestHead = "POST /webhooks/nxcloud HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// readAnswer reads one answer, whole.
func readAnswer(t *testing.T, conn net.Conn) *httptest.ResponseRecorder {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	answer := httptest.NewRecorder()
	maps.Copy(answer.Header(), response.Header)
	answer.WriteHeader(response.StatusCode)
	_, err = io.Copy(answer, response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return answer
}

func TestServerTakesHeaderNamesOfAnyCase(t *testing.T) {
	t.Parallel()
	for _, spell := range []func(string) string{strings.ToLower, strings.ToUpper, func(s string) string { return s }} {
		f := newFixture(t, signedSource())
		conn := dial(t, f)
		var head strings.Builder
		for name, values := range newSignedPost(testBody).Header {
			fmt.Fprintf(&head, "%s: %s\r\n", spell(name), values[0])
		}
		_, err := fmt.Fprintf(conn, "POST /webhooks/nxcloud HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s",
			head.String(), len(testBody), testBody)
		require.NoError(t, err)
		requireSuccess(t, readAnswer(t, conn))
		require.Len(t, f.log.stored(), 1)
	}
}

// A repeated header is refused even where a proxy would join the two.
func TestServerRefusesRepeatedHeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	conn := dial(t, f)
	_, err := io.WriteString(conn, requestHead+"sign: 00\r\nSIGN: 00\r\naccesskey: a\r\naction: a\r\nbiztype: a\r\nts: 1\r\nContent-Length: 2\r\n\r\n{}")
	require.NoError(t, err)
	requireRefused(t, readAnswer(t, conn), http.StatusUnauthorized, "SIGNATURE_MALFORMED")
}

// Nothing of a body that is declared too large is waited for.
func TestServerRefusesDeclaredSize(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	conn := dial(t, f)
	_, err := fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n{", requestHead, 10<<20)
	require.NoError(t, err)
	requireRefused(t, readAnswer(t, conn), http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE")
	require.Equal(t, 1, f.callbacks(t, outcomeTooLarge))
}

func TestServerRefusesEndlessBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	conn := dial(t, f)
	sent := make(chan int)
	go func() {
		chunk := "8000\r\n" + strings.Repeat(" ", 0x8000) + "\r\n"
		n, err := io.WriteString(conn, requestHead+"Transfer-Encoding: chunked\r\n\r\n")
		total := n
		for err == nil {
			n, err = io.WriteString(conn, chunk)
			total += n
		}
		sent <- total
	}()
	requireRefused(t, readAnswer(t, conn), http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE")
	// The server closes the connection, which is what ends the sender.
	<-sent
	require.Empty(t, f.log.stored())
}

func TestServerBodyAtItsBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Source{AllowUnsigned: true, MaxBodyBytes: 10})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	for body, status := range map[string]int{`"12345678"`: http.StatusOK, `"123456789"`: http.StatusRequestEntityTooLarge} {
		// A reader of unknown length is sent in chunks.
		for _, reader := range []io.Reader{strings.NewReader(body), io.MultiReader(strings.NewReader(body))} {
			answer, err := server.Client().Post(server.URL+"/webhooks/nxcloud", "application/json", reader)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, status, answer.StatusCode, body)
		}
	}
	require.Len(t, f.log.stored(), 1)
}

func TestServerRefusesBrokenBodies(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"short":          fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(testBody)+1, testBody),
		"short chunk":    "Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
		"no last chunk":  "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
		"bad chunk size": "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			conn := dial(t, f)
			_, err := io.WriteString(conn, requestHead+body)
			require.NoError(t, err)
			require.NoError(t, conn.CloseWrite())
			requireRefused(t, readAnswer(t, conn), http.StatusBadRequest, "BODY_INCOMPLETE")
			require.Empty(t, f.log.stored())
			require.Equal(t, 1, f.callbacks(t, outcomeIncomplete))
		})
	}
}

func TestServerRefusesEmptyBody(t *testing.T) {
	t.Parallel()
	conn := dial(t, newFixture(t, unsignedSource()))
	_, err := io.WriteString(conn, requestHead+"Content-Length: 0\r\n\r\n")
	require.NoError(t, err)
	requireRefused(t, readAnswer(t, conn), http.StatusBadRequest, "BODY_NOT_JSON")
}

// What the provider hung up on is stored all the same, or its next delivery of
// it might meet the same fate.
func TestServerAppendsForClientThatLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	appending, release := make(chan context.Context, 1), make(chan struct{})
	f.log.before = func(ctx context.Context) error {
		appending <- ctx
		<-release
		return ctx.Err()
	}
	left, done := make(chan context.Context, 1), make(chan struct{})
	conn := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		left <- r.Context()
		f.ServeHTTP(w, r)
	}))
	_, err := fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", requestHead, len(testBody), testBody)
	require.NoError(t, err)

	ctx := <-appending
	require.NoError(t, conn.Close())
	<-(<-left).Done() // the server noticed
	require.NoError(t, ctx.Err())
	close(release)
	<-done
	require.Len(t, f.log.stored(), 1)
}
