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
