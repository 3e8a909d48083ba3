package admin

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/wabastream/wabastream/server/internal/quarantine"
)

// A page token is the place of the last entry of its page: its time and its id. So
// it stays good when that entry is gone.

func pageToken(last quarantine.Entry) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(last.ReceiveTime.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(last.ReceiveTime.Nanosecond()))
	return base64.RawURLEncoding.EncodeToString(append(b, last.ID...))
}

// parsePageToken returns nil for an empty token, which is the first page.
func parsePageToken(token string) (*quarantine.Entry, error) {
	if token == "" {
		return nil, nil
	}
	const timeBytes, idLength = 12, 32
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != timeBytes+idLength {
		return nil, errors.New("not a page token")
	}
	return &quarantine.Entry{
		ReceiveTime: time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))),
		ID:          string(b[timeBytes:]),
	}, nil
}
