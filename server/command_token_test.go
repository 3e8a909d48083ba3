package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

// TestTokenNew pastes what is printed into an access file and gets in with the token.
func TestTokenNew(t *testing.T) {
	t.Parallel()
	before := time.Now()
	for name, args := range map[string][]string{
		"billing": {"token", "new"},
		"support": {"token", "new", "--consumer", "support", "--valid-for", "2160h"},
	} {
		text := mustRun(t, args...)
		token := regexp.MustCompile(`wst_\w+`).FindString(text)
		_, lines, _ := strings.Cut(text, "beside it:\n\n")
		file := filepath.Join(t.TempDir(), "access.yaml")
		require.NoError(t, os.WriteFile(file, []byte(lines), 0o600))
		require.NotContains(t, lines, token)

		policy, err := access.Open(access.Config{File: file})
		require.NoError(t, err)
		session, err := policy.Authenticate(t.Context(), access.Credentials{Bearer: token})
		require.NoError(t, err)
		caller := session.Caller()
		require.Equal(t, name, caller.Name)
		require.Equal(t, access.Grant{AllWABAs: true, AllTypes: true}, caller.Grant)
		if name == "support" {
			require.WithinDuration(t, before.Add(90*24*time.Hour), caller.ExpireTime, time.Minute)
		} else {
			require.Zero(t, caller.ExpireTime)
		}
	}
}

func TestTokenNewAsJSON(t *testing.T) {
	t.Parallel()
	var made struct {
		Token, Hash string
		ExpireTime  *time.Time `json:"expire_time"`
	}
	require.NoError(t, json.Unmarshal([]byte(mustRun(t, "token", "new", "--json")), &made))
	require.Regexp(t, `^wst_`, made.Token)
	require.Regexp(t, `^sha256:`, made.Hash)
	require.Nil(t, made.ExpireTime)
	require.NoError(t, json.Unmarshal([]byte(mustRun(t, "token", "new", "--json", "--valid-for", "1h")), &made))
	require.WithinDuration(t, time.Now().Add(time.Hour), *made.ExpireTime, time.Minute)
}

func TestTokenUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--consumer: \"Billing Team\" is not a name": {"token", "new", "--consumer", "Billing Team"},
		"--valid-for: -1h0m0s; want at least":        {"token", "new", "--valid-for", "-1h"},
		"--valid-for: 1s; want at least a minute":    {"token", "new", "--valid-for", "1s"},
		"wabastreamd token new takes no arguments":   {"token", "new", "billing"},
	} {
		code, stdout, stderr := ran(t, nil, args...)
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, want)
	}
	require.Contains(t, mustRun(t, "token"), "token new --consumer billing")
	require.Contains(t, mustRun(t, "token", "new", "--help"), "replace a token without an interruption")
}
