package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/wabastream/wabastream/server/internal/app"
)

// The configurations in the manifests are ones that the server starts with, but for
// the files that they name, and take no risk.
func TestConfigurationsOfTheManifests(t *testing.T) {
	t.Setenv("NXCLOUD_SECRET", "secret")
	for file, jetStream := range map[string]bool{"embedded.yaml": false, "replicas.yaml": true} {
		text, err := os.ReadFile(filepath.Join("../deploy/kubernetes", file))
		require.NoError(t, err)
		found := false
		for object := range bytes.SplitSeq(text, []byte("\n---\n")) {
			var manifest struct {
				Data map[string]string `yaml:"data"`
			}
			require.NoError(t, yamlv3.Unmarshal(object, &manifest))
			if manifest.Data == nil {
				continue
			}
			found = true
			config, err := load(t, manifest.Data["wabastream.yaml"], nil)
			require.NoError(t, err, file)
			require.Equal(t, jetStream, config.OnJetStream())
			verdict := app.Check(config, "")
			require.Empty(t, verdict.Risks, file)
			for _, problem := range verdict.Problems {
				require.Contains(t, problem, "no such file", file)
			}
		}
		require.True(t, found, file)
	}
}
