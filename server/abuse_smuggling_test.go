package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// smuggled is a request with another one behind or inside it, of which somebody in
// between may have seen only one, or the server may see two. In its parts {next} is the
// other one, {length} how long that is, and {hex} the same for a chunk.
type smuggled struct {
	name         string
	fields, body string
	version      string // HTTP/1.1 if empty
	bare         bool   // lines of its head end in line feeds alone
	// two says that there are two requests whoever looks: both are answered.
	two bool
}

const lastChunk = "0\r\n\r\n"

// smuggling is what is tried.
func smuggling() []smuggled {
	list := []smuggled{
		{name: "two requests", fields: "Content-Length: 0\r\n", body: "{next}", two: true},
		{name: "two equal lengths", fields: "Content-Length: 0\r\nContent-Length: 0\r\n", body: "{next}", two: true},
		{name: "bare line feeds", fields: "Content-Length: 0\r\n", body: "{next}", bare: true, two: true},
		{name: "another header's name", fields: "Content-Length: 0\r\nContent_Length: {length}\r\nTransfer_Encoding: chunked\r\n", body: "{next}", two: true},

		{name: "length and chunks, ended early", fields: "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n", body: lastChunk + "{next}"},
		{name: "chunks and no length", fields: "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", body: "{hex}\r\n{next}\r\n" + lastChunk},
		{name: "short length and chunks", fields: "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", body: "{hex}\r\n{next}\r\n" + lastChunk},
		{name: "chunks alone", fields: "Transfer-Encoding: chunked\r\n", body: lastChunk + "{next}"},
		{name: "a body", fields: "Content-Length: {length}\r\n", body: "{next}"},
		{name: "an expected body", fields: "Expect: 100-continue\r\nContent-Length: {length}\r\n", body: "{next}"},
		{name: "an expectation", fields: "Expect: 100-maybe\r\nContent-Length: {length}\r\n", body: "{next}"},
		{name: "folded chunks", fields: "Content-Length: 0\r\nTransfer-Encoding:\r\n chunked\r\n", body: lastChunk + "{next}"},
		{name: "folded length", fields: "Content-Length: 0\r\n 1\r\n", body: "{next}"},
		{name: "line feeds in chunks", fields: "Transfer-Encoding: chunked\r\n", body: "2\n{}\n0\n\n{next}"},
		{name: "line feed in an extension", fields: "Transfer-Encoding: chunked\r\n", body: "2;\n{}\r\n" + lastChunk + "{next}"},
		{name: "trailer", fields: "Transfer-Encoding: chunked\r\n", body: "0\r\nContent-Length: {length}\r\n\r\n{next}"},
		{name: "HTTP/1.0 with chunks", version: "HTTP/1.0", fields: "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", body: lastChunk + "{next}"},
		{name: "HTTP/1.0 kept alive", version: "HTTP/1.0", fields: "Connection: keep-alive\r\nContent-Length: 0\r\n", body: "{next}"},
		{name: "HTTP/0.9", version: "HTTP/0.9", body: "{next}"},
		{name: "HTTP/1.01", version: "HTTP/1.01", body: "{next}"},
		{name: "no colon", fields: "Content-Length 0\r\n", body: "{next}"},
		{name: "no name", fields: ": 0\r\n", body: "{next}"},
		{name: "zero byte", fields: "X: a\x00\r\n", body: "{next}"},
		{name: "carriage return", fields: "X: a\rContent-Length: {length}\r\n", body: "{next}"},
	}
	for _, length := range []string{
		": 0\r\nContent-Length: {length}", ": {length}\r\nContent-Length: 0", ": 0, 0", ": 0, {length}", ": +0", ": -0", ": 0x0", ": 0 0", ": ",
		": \v0", ": 99999999999999999999", " : 0", "\t: 0", "\v: 0",
	} {
		list = append(list, smuggled{name: fmt.Sprintf("length %q", length), fields: "Content-Length" + length + "\r\n", body: "{next}"})
	}
	for _, encoding := range []string{
		": xchunked", ": chunked, identity", ": identity", ": identity, chunked", ": chunked, chunked", ": chunked\r\nTransfer-Encoding: chunked",
		": chunked\r\nTransfer-Encoding: identity", ": chunked;q=1", ": \"chunked\"", ": ", ":\vchunked", ": chunked\v", ": chun\x00ked",
		" : chunked", "\t: chunked", "\x00: chunked", ":\tCHUNKED ",
	} {
		list = append(list, smuggled{
			name: fmt.Sprintf("encoding %q", encoding), fields: "Content-Length: 0\r\nTransfer-Encoding" + encoding + "\r\n", body: lastChunk + "{next}",
		})
	}
	for _, size := range []string{"0x0", "-0", "+0", " 0", "0 ", "00000000000000000000", "G", "", "FFFFFFFFFFFFFFFFF", "0;" + strings.Repeat("x", 10_000)} {
		list = append(list, smuggled{name: fmt.Sprintf("chunk size %.20q", size), fields: "Transfer-Encoding: chunked\r\n", body: size + "\r\n\r\n{next}"})
	}
	return list
}

// text is a request that begins with the head, with another one.
func (s smuggled) text(path, fields, next string) string {
	version := s.version
	if version == "" {
		version = "HTTP/1.1"
	}
	head := fmt.Sprintf("POST %s %s\r\nHost: 127.0.0.1\r\n%s%s\r\n", path, version, fields, s.fields)
	if s.bare {
		head = strings.ReplaceAll(head, "\r\n", "\n")
	}
	return strings.NewReplacer("{next}", next, "{length}", strconv.Itoa(len(next)), "{hex}", strconv.FormatInt(int64(len(next)), 16)).Replace(head + s.body)
}

// exchange sends text and returns what comes back until the server closes the
// connection, or says nothing more.
func (target target) exchange(t *testing.T, text string) string {
	t.Helper()
	const silence = 300 * time.Millisecond
	conn := target.dial(t, "http/1.1")
	defer conn.Close()
	_, _ = io.WriteString(conn, text) // it may be closed before all is written
	var all strings.Builder
	buffer := make([]byte, 4096)
	for err := error(nil); err == nil; {
		patience := silence
		if all.Len() == 0 {
			patience = time.Minute
		}
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		var n int
		n, err = conn.Read(buffer)
		all.Write(buffer[:n])
	}
	return all.String()
}

// statusesOf are the final statuses of answers.
func statusesOf(t *testing.T, answers string) (statuses []int) {
	t.Helper()
	for rest := bufio.NewReader(strings.NewReader(answers)); ; {
		resp, err := http.ReadResponse(rest, nil)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return statuses
		}
		require.NoError(t, err, answers)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err, answers)
		require.NoError(t, resp.Body.Close())
		if resp.StatusCode != http.StatusContinue {
			statuses = append(statuses, resp.StatusCode)
		}
	}
}

// Of two requests that somebody in between may have taken for one, one is answered,
// once, and the other does nothing; gRPC answers none of them.
func TestAbuseBySmuggling(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"plaintext": nil, "TLS": withTLS(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBesieged(t, args...)
			stored := 0
			t.Run("all", func(t *testing.T) {
				for _, target := range b.targets(args != nil) {
					for n, s := range smuggling() {
						if s.two && target.name == "front" {
							stored += 2
						}
						t.Run(target.name+", "+s.name, func(t *testing.T) {
							t.Parallel()
							s.try(t, target, n)
						})
					}
				}
			})
			require.Equal(t, stored, b.events(t))
			require.NoDirExists(t, b.find(`data +(\S+)`)+"/backups")
		})
	}
}

// try smuggles a signed callback to the front, behind what has no signature and what
// has a forged one, and a call that makes a backup to REST.
func (s smuggled) try(t *testing.T, target target, n int) {
	t.Helper()
	switch target.name {
	case "front":
		for forged, fields := range map[int]string{0: "", 1: request("", true)} {
			_, fields, _ = strings.Cut(fields, "\r\n")
			_, fields, _ = strings.Cut(fields, "\r\n")
			body := callbackOf(fmt.Sprintf("smuggled-%d-%d", n, forged))
			var next strings.Builder
			fmt.Fprintf(&next, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n", besiegedPath, len(body))
			require.NoError(t, signed(body, besiegedSecret).Write(&next))
			next.WriteString("\r\n" + string(body))
			s.requireOne(t, target.exchange(t, s.text(besiegedPath, fields, next.String())))
		}
	case "rest":
		next := "POST /v1/backups HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
		if s.two {
			next = "GET /v1/log HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
		}
		s.requireOne(t, target.exchange(t, s.text("/v1/log", "", next)))
	default:
		require.NotContains(t, target.exchange(t, s.text("/wabastream.v1.EventService/GetLogInfo", "", "")), "HTTP/")
	}
}

func (s smuggled) requireOne(t *testing.T, answers string) {
	t.Helper()
	statuses := statusesOf(t, answers)
	require.NotEmpty(t, statuses)
	require.GreaterOrEqual(t, statuses[0], 400)
	if s.two {
		require.Equal(t, []int{http.StatusOK}, statuses[1:])
		return
	}
	require.Len(t, statuses, 1, answers)
}
