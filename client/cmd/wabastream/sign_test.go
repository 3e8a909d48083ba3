package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The published MD5 digests are NXCloud's own examples (signature page of the
// wiki nxtele/http-api-document).
func TestDigestIsThePublishedOne(t *testing.T) {
	t.Parallel()
	const text = `accessKey=fme2na3kdi3ki&action=send&bizType=1&ts=1655710885431&body={"name":"牛小信","id":10001}&accessSecret=abciiiko2k3`
	require.Equal(t, "87c3560d3331ae23f1021e2025722354", (&signer{algorithm: "md5"}).digest(text))
	require.Equal(t, "e0eec2c99ef80f269a82795e2223f618ebfc0616c8b6c8c7d438021ec38ad0eb", (&signer{algorithm: "sha256"}).digest(text))
}

func TestTextToSign(t *testing.T) {
	t.Parallel()
	s := &signer{accessKey: "key", secret: "s3cret"}
	require.Equal(t, `accessKey=key&action=callback&bizType=2&ts=17&body={"a": 1}&accessSecret=s3cret`, s.textToSign("17", []byte(`{"a": 1}`)))
	require.Equal(t, `accessKey=key&action=callback&bizType=2&ts=17&accessSecret=s3cret`, s.textToSign("17", nil))
}

func TestSignSetsEveryHeader(t *testing.T) {
	t.Parallel()
	s := &signer{accessKey: "key", secret: "s3cret", algorithm: "sha256"}
	header := http.Header{}
	s.sign(header, []byte("{}"), time.UnixMilli(1655710885431))
	require.Len(t, header, 6)
	require.Equal(t, "1655710885431", header.Get("ts"))
	require.Equal(t, "key", header.Get("accesskey"))
	require.Equal(t, "sha256", header.Get("algorithm"))
	require.Equal(t, s.digest(s.textToSign("1655710885431", []byte("{}"))), header.Get("sign"))
}
