package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// poster posts callbacks over one connection that stays open, and waits for each
// answer. It is written for this purpose because net/http's client costs more
// than the servers that are measured, on the same cores.
type poster struct {
	callbacks     *callbacks
	conn          net.Conn
	answers       *bufio.Reader
	body, request []byte
}

func dialPoster(ctx context.Context, addr string, c *callbacks) (*poster, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &poster{callbacks: c, conn: conn, answers: bufio.NewReader(conn)}, nil
}

// post posts one callback. An answer that is not 200 is an error.
func (p *poster) post() error {
	status, err := p.exchange()
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("post: answered %d, want 200", status)
	}
	return err
}

// exchange posts one callback and returns its answer's status.
func (p *poster) exchange() (status int, err error) {
	return p.exchangeNth(p.callbacks.made.Add(1))
}

// exchangeNth posts the nth callback.
func (p *poster) exchangeNth(n uint64) (status int, err error) {
	p.body = appendBody(p.body[:0], n)
	p.request = appendRequest(p.request[:0], p.body)
	if _, err := p.conn.Write(p.request); err != nil {
		return 0, fmt.Errorf("post: %w", err)
	}
	if status, err = readAnswer(p.answers); err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	return status, nil
}

func (p *poster) close() error { return p.conn.Close() }

// readAnswer takes an answer with a Content-Length; any other is an error.
func readAnswer(r *bufio.Reader) (status int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if status, err = parseStatus(line); err != nil {
		return 0, err
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, found := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		if !found {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("answer without a length")
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return status, err
}

// parseStatus reads the first line of an answer.
func parseStatus(line []byte) (int, error) {
	rest, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !found || len(rest) < 4 || rest[3] != ' ' {
		return 0, fmt.Errorf("answer %q", bytes.TrimSpace(line))
	}
	return strconv.Atoi(string(rest[:3]))
}
