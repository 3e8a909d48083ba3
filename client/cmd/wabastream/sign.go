package main

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// signer signs callbacks as NXCloud does, for a server whose source has a
// secret. NXCloud's signature page: a plain digest, not an HMAC, of the header
// values, the raw body and the secret, nothing escaped and nothing sorted.
type signer struct {
	accessKey, secret, algorithm string
}

// The values that say which product a callback is of. A verifier takes them from
// the headers, so any will do.
const (
	signedAction  = "callback"
	signedBizType = "2"
)

// sign sets the six headers.
func (s *signer) sign(header http.Header, body []byte, now time.Time) {
	ts := strconv.FormatInt(now.UnixMilli(), 10)
	header.Set("accesskey", s.accessKey)
	header.Set("action", signedAction)
	header.Set("biztype", signedBizType)
	header.Set("ts", ts)
	header.Set("algorithm", s.algorithm)
	header.Set("sign", s.digest(s.textToSign(ts, body)))
}

// textToSign leaves out the body's part when there is no body.
func (s *signer) textToSign(ts string, body []byte) string {
	text := "accessKey=" + s.accessKey + "&action=" + signedAction + "&bizType=" + signedBizType + "&ts=" + ts
	if len(body) > 0 {
		text += "&body=" + string(body)
	}
	return text + "&accessSecret=" + s.secret
}

func (s *signer) digest(text string) string {
	if s.algorithm == "md5" {
		sum := md5.Sum([]byte(text)) // the provider's older algorithm
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
