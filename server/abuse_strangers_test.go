package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// siege is one kind of abuse under way.
type siege struct {
	context.Context //nolint:containedctx // it ends the siege
	front           string
	count           atomic.Int64 // of what was done
	closed          atomic.Int64 // connections that the server closed
	strangers       sync.WaitGroup
}

// each runs so many strangers, told apart by number, over and over until the siege ends.
func (s *siege) each(strangers int, act func(n int)) {
	for n := range strangers {
		s.strangers.Go(func() {
			for s.Err() == nil {
				act(n)
			}
		})
	}
}

// dial connects from an address of loopback, and disconnects when the siege ends.
func (s *siege) dial(from net.IP) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.DialContext(s, "tcp", s.front)
	if err != nil {
		pause(s, 10*time.Millisecond)
		return nil, err
	}
	return &siegeConn{conn, context.AfterFunc(s, func() { _ = conn.Close() })}, nil
}

// siegeConn is a connection that the end of the siege closes.
type siegeConn struct {
	net.Conn
	forget func() bool
}

func (c *siegeConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// request is a callback's head with a body to come; forged has a signature that looks
// right and is not.
func request(path string, forged bool, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: a\r\n", path)
	if forged {
		b.WriteString("accesskey: " + besiegedKey + "\r\naction: a\r\nbiztype: 2\r\nts: 1\r\nalgorithm: sha256\r\nsign: " + strings.Repeat("0", 64) + "\r\n")
	}
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

const besiegedPath = "/webhooks/nxcloud"

// trickle has strangers send a head and then a byte twice a second, for as long as
// the server takes them.
func (s *siege) trickle(strangers int, head string) {
	s.each(strangers, func(int) {
		conn, err := s.dial(nil)
		if err != nil {
			return
		}
		defer conn.Close()
		s.count.Add(1)
		if _, err = io.WriteString(conn, head); err != nil {
			return
		}
		// The server speaks only to close the connection.
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			if s.Err() == nil {
				s.closed.Add(1)
			}
			_ = conn.Close()
		}()
		for err == nil && s.Err() == nil {
			pause(s, 500*time.Millisecond)
			_, err = io.WriteString(conn, "x")
		}
	})
}

// slowly sends half of the headers without an end, and half of the bodies.
func (s *siege) slowly(strangers int) {
	s.trickle(strangers/2, request(besiegedPath, true)+"x-slow: ")
	s.trickle(strangers/2, request(besiegedPath, true, "Content-Length: 1000000", ""))
}

// flood posts as fast as the server answers, without a signature and with a forged one.
func (s *siege) flood(strangers int) {
	const together = 32
	body := string(callbackOf("stranger"))
	length := fmt.Sprintf("Content-Length: %d", len(body))
	s.each(strangers, func(n int) {
		conn, err := s.dial(nil)
		if err != nil {
			return
		}
		defer conn.Close()
		posts := strings.Repeat(request(besiegedPath, n%2 == 0, length, "")+body, together)
		answers := statusLines{}
		for err == nil {
			if _, err = io.WriteString(conn, posts); err == nil {
				err = answers.await(conn, together)
			}
			s.count.Add(int64(answers.taken))
			answers.taken = 0
		}
	})
}

// statusLines counts answers without parsing them: that would cost more than to post.
type statusLines struct {
	buffer [16 << 10]byte
	kept   int // bytes at the start of buffer that may begin a status line
	taken  int
}

func (a *statusLines) await(conn io.Reader, answers int) error {
	const status = "HTTP/1.1 401"
	for a.taken < answers {
		n, err := conn.Read(a.buffer[a.kept:])
		all := a.buffer[:a.kept+n]
		a.taken += bytes.Count(all, []byte(status))
		a.kept = copy(a.buffer[:], all[max(0, len(all)-len(status)+1):])
		if err != nil {
			return err
		}
	}
	return nil
}

// overfill sends bodies that do not end, in chunks and with a length that is too much,
// until the server has enough.
func (s *siege) overfill(strangers int) {
	const chunkSize = 64 << 10
	chunk := fmt.Sprintf("%x\r\n%s\r\n", chunkSize, strings.Repeat("x", chunkSize))
	heads := []string{
		request(besiegedPath, true, "Transfer-Encoding: chunked", ""),
		request(besiegedPath, false, "Transfer-Encoding: chunked", ""),
		request(besiegedPath, true, "Content-Length: 1048576", ""), // as much as is allowed, and more
		request(besiegedPath, true, "Content-Length: 1099511627776", ""),
	}
	s.each(strangers, func(n int) {
		conn, err := s.dial(nil)
		if err != nil {
			return
		}
		defer conn.Close()
		s.count.Add(1)
		_, err = io.WriteString(conn, heads[n%len(heads)])
		for err == nil && s.Err() == nil {
			_, err = io.WriteString(conn, chunk)
		}
	})
}

// masquerade posts once as each of so many sources: each has an address, a name and an
// access key of its own.
func (s *siege) masquerade(sources int) {
	const atOnce = 64
	var next atomic.Int64
	s.each(atOnce, func(int) {
		n := int(next.Add(1))
		if n > sources {
			<-s.Done()
			return
		}
		for s.Err() == nil {
			if s.pose(n) {
				s.count.Add(1)
				return
			}
		}
	})
}

// pose reports whether source n was answered.
func (s *siege) pose(n int) bool {
	conn, err := s.dial(net.IPv4(127, 1+byte(n>>16), byte(n>>8), byte(n)))
	if err != nil {
		return false
	}
	defer conn.Close()
	path := besiegedPath
	if n%2 == 0 {
		path = fmt.Sprintf("/webhooks/source-%d", n)
	}
	head := strings.Replace(request(path, true, "Connection: close", "Content-Length: 2", ""), besiegedKey, fmt.Sprintf("key-%d", n), 1)
	if _, err := io.WriteString(conn, head+"{}"); err != nil {
		return false
	}
	all, _ := io.ReadAll(conn)
	return bytes.HasPrefix(all, []byte("HTTP/1.1 40"))
}

// garble posts callbacks that are signed, each another one, and no JSON.
func (s *siege) garble(posters int) {
	var next atomic.Int64
	s.each(posters, func(int) {
		body := fmt.Appendf(nil, "{%d %s", next.Add(1), strings.Repeat("x", 10_000))
		conn, err := s.dial(nil)
		if err != nil {
			return
		}
		defer conn.Close()
		lines := []string{"Connection: close", fmt.Sprintf("Content-Length: %d", len(body))}
		for name, values := range signed(body, besiegedSecret) {
			lines = append(lines, name+": "+values[0])
		}
		if _, err := io.WriteString(conn, request(besiegedPath, false, append(lines, "")...)+string(body)); err != nil {
			return
		}
		if all, _ := io.ReadAll(conn); bytes.HasPrefix(all, []byte("HTTP/1.1 400")) {
			s.count.Add(1)
		}
	})
}
