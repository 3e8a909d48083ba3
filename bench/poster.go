package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

func (p *poster) post() error {
	p.body = appendBody(p.body[:0], p.callbacks.made.Add(1))
	p.request = appendRequest(p.request[:0], p.body)
	if _, err := p.conn.Write(p.request); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if err := readAnswer(p.answers); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (p *poster) close() error { return p.conn.Close() }

// readAnswer takes an answer with a Content-Length and status 200; any other is
// an error.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answer %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		name, value, found := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		if !found {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answer without a length")
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err
}
