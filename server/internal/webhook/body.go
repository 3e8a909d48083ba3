package webhook

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"time"
)

// usualBodyBytes holds most bodies.
const usualBodyBytes = 4 << 10

// errNoRoom says that a body would take more memory than callbacks may together.
var errNoRoom = errors.New("too many callbacks are being received")

// interrupter returns what makes a read of the request's body return.
func interrupter(w http.ResponseWriter) func() {
	control := http.NewResponseController(w)
	return func() { _ = control.SetReadDeadline(time.Unix(1, 0)) } // every net/http connection can
}

// refuseDeclaredSize refuses a body that says itself that it is too large, before
// anything of it is read.
func refuseDeclaredSize(r *http.Request, limit int64) *refusal {
	if r.ContentLength > limit {
		return refuseSize(limit)
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64, in *reception) ([]byte, *refusal) {
	// The length is only announced: no more is set aside for it than most
	// callbacks need.
	size := r.ContentLength
	if size < 0 || size > usualBodyBytes {
		size = usualBodyBytes
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, limit), int(size), in.grow)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, refuseSize(limit)
	}
	if errors.Is(err, errNoRoom) || err != nil && in.wasLost() {
		return nil, refuseOverload(errNoRoom)
	}
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, outcome: outcomeIncomplete, reason: "BODY_INCOMPLETE",
			message: "the body ended early or took too long: send the whole callback again", cause: err}
	}
	return body, nil
}

// readAll is io.ReadAll for a size that is likely: it sets aside no more than that,
// and one byte that lets a read find the end. Whatever it takes is taken of room.
func readAll(r io.Reader, size int, room func(bytes int64) bool) ([]byte, error) {
	if !room(int64(size + 1)) {
		return nil, errNoRoom
	}
	all := make([]byte, 0, size+1)
	for {
		n, err := r.Read(all[len(all):cap(all)])
		all = all[:len(all)+n]
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(all) == cap(all) {
			if !room(int64(len(all))) {
				return nil, errNoRoom
			}
			all = slices.Grow(all, len(all))
		}
	}
}
