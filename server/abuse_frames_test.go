package main

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is the client's side of an HTTP/2 connection, which sends what it likes.
type frames struct {
	*http2.Framer
	target target
	conn   net.Conn
	out    *bufio.Writer
	table  bytes.Buffer
	names  *hpack.Encoder
	stream uint32 // the last one opened

	answers map[uint32]int // heads of answers by stream, once the reading has ended
	read    chan struct{}  // closed when it has
	pinged  chan struct{}  // has a token once the server has answered lastPing
	heard   chan struct{}  // has one once it has answered a stream
}

// lastPing tells that nothing more is to come.
func lastPing() [8]byte { return [8]byte{'e', 'n', 'd'} }

// settle gives the server time for what it was sent: until it answers a last ping, or
// leaves.
func (f *frames) settle(t *testing.T) {
	t.Helper()
	if f.WritePing(false, lastPing()) != nil || f.out.Flush() != nil {
		return
	}
	select {
	case <-f.read:
	case <-f.pinged:
	}
}

// openFrames connects, for so long at the most.
func openFrames(t *testing.T, target target, lasts time.Duration, reads bool) *frames {
	t.Helper()
	conn := target.dial(t, "h2")
	require.NoError(t, conn.SetDeadline(time.Now().Add(lasts)))
	f := &frames{target: target, conn: conn, out: bufio.NewWriter(conn), answers: make(map[uint32]int), read: make(chan struct{}), pinged: make(chan struct{}, 1), heard: make(chan struct{}, 1)}
	f.Framer = http2.NewFramer(f.out, conn)
	f.names = hpack.NewEncoder(&f.table)
	_, _ = f.out.WriteString(http2.ClientPreface)
	require.NoError(t, f.WriteSettings())
	require.NoError(t, f.out.Flush())
	if !reads {
		close(f.read)
		return f
	}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	go f.listen()
	return f
}

// listen counts answers until the server closes the connection, or close does.
func (f *frames) listen() {
	defer close(f.read)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if frame.PseudoValue("status") != "" { // else trailers
				f.answers[frame.StreamID]++
				select {
				case f.heard <- struct{}{}:
				default:
				}
			}
		case *http2.PingFrame:
			if frame.IsAck() && frame.Data == lastPing() {
				f.pinged <- struct{}{}
			}
		}
	}
}

// close ends the connection and returns how many streams were answered, none of them
// twice.
func (f *frames) close(t *testing.T) int {
	t.Helper()
	_ = f.conn.Close()
	<-f.read
	for stream, answers := range f.answers {
		require.Equal(t, 1, answers, "answers on stream %d", stream)
	}
	return len(f.answers)
}

// block is a request's headers, and more of them.
func (f *frames) block(more ...hpack.HeaderField) []byte {
	f.table.Reset()
	scheme := "http"
	if f.target.tls {
		scheme = "https"
	}
	fields := []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: scheme}, {Name: ":authority", Value: "127.0.0.1"}}
	switch f.target.name {
	case "front":
		fields = append(fields, hpack.HeaderField{Name: ":path", Value: besiegedPath})
		for _, line := range strings.Split(request("", true), "\r\n")[2:] {
			if name, value, ok := strings.Cut(line, ": "); ok {
				fields = append(fields, hpack.HeaderField{Name: name, Value: value})
			}
		}
	case "rest":
		fields = append(fields, hpack.HeaderField{Name: ":path", Value: "/v1/events:subscribe"})
	default:
		fields = append(fields, hpack.HeaderField{Name: ":path", Value: "/wabastream.v1.EventService/Subscribe"},
			hpack.HeaderField{Name: "content-type", Value: "application/grpc"}, hpack.HeaderField{Name: "te", Value: "trailers"})
	}
	for _, field := range append(fields, more...) {
		_ = f.names.WriteField(field) // into memory
	}
	return f.table.Bytes()
}

// open begins a request without its end.
func (f *frames) open(endHeaders bool, block []byte) error {
	if f.stream == 0 {
		f.stream = 1
	} else {
		f.stream += 2
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: block, EndHeaders: endHeaders})
}

// body is what a request of the target has to have before it does anything.
func (f *frames) body() []byte {
	if f.target.name == "grpc" {
		return make([]byte, 5) // an empty message
	}
	return []byte("{}")
}
