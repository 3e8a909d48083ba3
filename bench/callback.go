package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// The source that callbacks are posted to.
const (
	sourceName   = "nxcloud"
	accessKey    = "benchkey"
	accessSecret = "not-a-secret"
	signedTime   = "1760000000000"
)

// callbacks makes signed callbacks as the provider posts them, no two alike.
type callbacks struct {
	made atomic.Uint64
}

// appendBody writes the nth callback: the example that tells of a ban, with an
// account, a phone and a time of its own.
func appendBody(b []byte, n uint64) []byte {
	account := accountOf(n, accounts)
	b = append(b, `{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE","waba_ban_date":"October 22, 2025"},"wabaId":"`...)
	b = strconv.AppendUint(b, 10_000_000_000_000+account, 10)
	b = append(b, `","business_phone":"`...)
	b = strconv.AppendUint(b, 15_550_000_000+account, 10)
	b = append(b, `","time":`...)
	b = strconv.AppendUint(b, 1_000_000_000+n, 10)
	return append(b, "}}"...)
}

// appendRequest writes a whole request for the body, signed over the bytes of it
// as the provider's signature page says.
func appendRequest(b, body []byte) []byte {
	signed := sha256.New()
	signed.Write([]byte("accessKey=" + accessKey + "&action=callback&bizType=waba&ts=" + signedTime + "&body="))
	signed.Write(body)
	signed.Write([]byte("&accessSecret=" + accessSecret))
	b = append(b, "POST /webhooks/"+sourceName+" HTTP/1.1\r\n"+
		"Host: bench\r\n"+
		"User-Agent: bench\r\n"+
		"Content-Type: application/json\r\n"+
		"accesskey: "+accessKey+"\r\n"+
		"action: callback\r\n"+
		"biztype: waba\r\n"+
		"ts: "+signedTime+"\r\n"+
		"algorithm: sha256\r\n"+
		"sign: "...)
	b = hex.AppendEncode(b, signed.Sum(nil))
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}
