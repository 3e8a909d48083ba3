package certs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFileBytes is some hundred authorities; whatever is larger is the wrong file.
const maxFileBytes = 1 << 20

// file is what a file held at one look.
type file struct {
	role string // as errors name it
	path string
	mode fs.FileMode
	data []byte
}

// errorf says what is wrong with the file.
func (f file) errorf(format string, args ...any) error {
	return fmt.Errorf("%s %q: %w", f.role, f.path, fmt.Errorf(format, args...))
}

// contents are all files at one look. They may not belong together: files are
// replaced one after the other.
type contents struct {
	cert      file
	key       file
	clientCAs file // without path if there is none
}

func readContents(config Config) (contents, error) {
	c := contents{
		cert:      file{role: "certificate file", path: config.CertFile},
		key:       file{role: "key file", path: config.KeyFile},
		clientCAs: file{role: "client CA file", path: config.ClientCAFile},
	}
	if err := c.cert.read(); err != nil {
		return contents{}, err
	}
	if err := c.key.read(); err != nil {
		return contents{}, err
	}
	if c.clientCAs.path == "" {
		return c, nil
	}
	if err := c.clientCAs.read(); err != nil {
		return contents{}, err
	}
	return c, nil
}

func (f *file) read() error {
	if f.path == "" {
		return f.errorf("not set; name one")
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return f.readError(err)
	}
	if !info.Mode().IsRegular() { // and opening a pipe would wait for its writer
		return f.errorf("not a regular file")
	}
	f.mode = info.Mode()
	r, err := os.Open(f.path)
	if err != nil {
		return f.readError(err)
	}
	defer r.Close()
	f.data, err = io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	switch {
	case err != nil:
		return f.readError(err)
	case len(f.data) == 0:
		return f.errorf("empty")
	case len(f.data) > maxFileBytes:
		return f.errorf("larger than %d bytes; is it the right file?", maxFileBytes)
	default:
		return nil
	}
}

// readError leaves out the path, which errorf says already.
func (f *file) readError(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return f.errorf("read: %w", err)
}

// identity is equal for equal contents. It is a digest, so that no copy of the
// key is kept.
func (c contents) identity() string {
	digest := sha256.New()
	for _, f := range []file{c.cert, c.key, c.clientCAs} {
		sum := sha256.Sum256(f.data)
		digest.Write(sum[:])
	}
	return string(digest.Sum(nil))
}
