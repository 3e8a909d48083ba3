package access_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

func BenchmarkAuthenticate(b *testing.B) {
	token, hash := access.NewToken()
	file := filepath.Join(b.TempDir(), "access.yaml")
	writeFile(b, file, "consumers: [{name: a, tokens: ["+quoted(hash)+"]}]")
	p, err := access.Open(access.Config{File: file})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Authenticate(b.Context(), access.Credentials{Bearer: token}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload judges 20,000 open sessions again.
func BenchmarkReload(b *testing.B) {
	token, hash := access.NewToken()
	file := filepath.Join(b.TempDir(), "access.yaml")
	writeFile(b, file, "consumers: [{name: a, tokens: ["+quoted(hash)+"]}]")
	p, err := access.Open(access.Config{File: file})
	require.NoError(b, err)
	for range 20_000 {
		s, err := p.Authenticate(b.Context(), access.Credentials{Bearer: token})
		require.NoError(b, err)
		s.OnChange(func() {})
	}
	for b.Loop() {
		p.JudgeAll()
	}
}
