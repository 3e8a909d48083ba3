package access

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFileBytes has room for a hundred thousand accounts; whatever is larger is the
// wrong file.
const maxFileBytes = 4 << 20

// contents is what a file held at one look.
type contents struct {
	mode fs.FileMode
	data []byte
}

// readContents reads a file in full. Its errors leave out the path.
func readContents(path string) (contents, error) {
	info, err := os.Stat(path)
	if err != nil {
		return contents{}, readError(err)
	}
	if !info.Mode().IsRegular() { // and opening a pipe would wait for its writer
		return contents{}, errors.New("not a regular file")
	}
	r, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return contents{}, readError(err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	switch {
	case err != nil:
		return contents{}, readError(err)
	case len(data) == 0:
		return contents{}, errors.New("empty")
	case len(data) > maxFileBytes:
		return contents{}, fmt.Errorf("larger than %d bytes; is it the right file?", maxFileBytes)
	default:
		return contents{info.Mode(), data}, nil
	}
}

func readError(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("read: %w", err)
}

// identity is equal for equal data.
func (c contents) identity() string {
	sum := sha256.Sum256(c.data)
	return string(sum[:])
}

// files are the access file and what it names, at one look.
type files struct {
	access contents
	keys   contents // of JWTs; empty if they are in no file
	err    error    // of reading them; what could be read is set
}

// identity is equal for files that come to the same.
func (f files) identity() string {
	identity := f.access.identity() + f.keys.identity()
	if f.err != nil {
		identity += f.err.Error()
	}
	return identity
}

// readFiles reads them in full: neither times nor inodes tell of every change behind
// links and on network file systems.
func (p *Policy) readFiles() (f files) {
	if f.access, f.err = readContents(p.config.File); f.err != nil {
		return f
	}
	named := p.rules.Load()
	if named == nil || f.access.identity() != p.file.access {
		if named, f.err = readRules(f.access.data); f.err != nil {
			return f
		}
	}
	if path := named.keysFile(); path != "" {
		var err error
		if f.keys, err = readContents(path); err != nil {
			f.err = fmt.Errorf("jwt.jwks_file: the file it names: %w", err)
		}
	}
	return f
}

// makeRules makes rules of the files. Keys that have been fetched already stay.
func (p *Policy) makeRules(f files) (*rules, error) {
	if f.err != nil {
		return nil, f.err
	}
	fresh, err := readRules(f.access.data)
	if err != nil || fresh.jwt == nil {
		return fresh, err
	}
	if fresh.jwt.keysURL == "" {
		set, err := parseKeys(f.keys.data)
		if err != nil {
			return nil, fmt.Errorf("jwt.jwks_file: the file it names: %w", err)
		}
		fresh.jwt.keys = set
		return fresh, nil
	}
	fresh.jwt.keys = newRemoteKeys(fresh.jwt.keysURL)
	if before := p.rules.Load(); before != nil {
		if remote := before.remoteKeys(); remote != nil && remote.url == fresh.jwt.keysURL {
			fresh.jwt.keys = remote
		}
	}
	return fresh, nil
}
