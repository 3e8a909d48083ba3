package eventlogtest

import (
	"crypto/sha256"
	"slices"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Chain is a projection that tells every record, and their order: a chain of hashes for
// each account, of which every fourth record notes what it was before.
func Chain() eventlog.Projection {
	return eventlog.Projection{Name: "chain", Version: 1, Fold: func(get func([]byte) ([]byte, error), entries []eventlog.Entry) (eventlog.Changes, error) {
		var out eventlog.Changes
		values := make(map[string][]byte)
		for _, e := range entries {
			value, ok := values[e.WABAID]
			if !ok {
				var err error
				if value, err = get([]byte(e.WABAID)); err != nil {
					return out, err
				}
			}
			if e.Position.Sequence%4 == 0 {
				out.Notes = append(out.Notes, eventlog.Note{At: e.Position.Sequence, Value: value})
			}
			sum := sha256.Sum256(append(slices.Clip(value), e.Payload...))
			values[e.WABAID] = sum[:]
		}
		for key, value := range values {
			out.Writes = append(out.Writes, eventlog.Write{Key: []byte(key), Value: value})
		}
		return out, nil
	}}
}
