package accounts

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"github.com/wabastream/wabastream/server/internal/apierror"
)

// A page token is a sum of what was selected, a sum of the token itself, and the key of
// the state at which its page ended:
//
//	selection 4 | checksum 4 | key
//
// So it stays good when that key is gone, and is refused with another selection.
const tokenSumBytes = 4

func pageToken(selection proto.Message, key []byte) string {
	b := make([]byte, 2*tokenSumBytes, 2*tokenSumBytes+len(key))
	b = append(b, key...)
	binary.BigEndian.PutUint32(b, sumOf(selection))
	binary.BigEndian.PutUint32(b[tokenSumBytes:], tokenSum(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// parsePageToken returns the key at which the page before ended; nil for the first page.
// The key begins with the kind.
func parsePageToken(selection proto.Message, kind byte, token string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= 2*tokenSumBytes || b[2*tokenSumBytes] != kind ||
		binary.BigEndian.Uint32(b[tokenSumBytes:]) != tokenSum(b) {
		return nil, apierror.Invalid(reasonRequestInvalid, "page_token", "not one that a page before gave: begin again without")
	}
	if binary.BigEndian.Uint32(b) != sumOf(selection) {
		return nil, apierror.Invalid(reasonRequestInvalid, "page_token", "it belongs to a page of another selection: begin again without")
	}
	return b[2*tokenSumBytes:], nil
}

// sumOf is the sum of a request that has only what selects.
func sumOf(selection proto.Message) uint32 {
	b, _ := marshal(selection) // texts of a request are valid UTF-8
	return crc32.ChecksumIEEE(b)
}

// tokenSum leaves out the bytes where it is written.
func tokenSum(token []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(token[:tokenSumBytes]), crc32.IEEETable, token[2*tokenSumBytes:])
}
