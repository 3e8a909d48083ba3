package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const folder = "../../deploy/kubernetes"

// manifest is what is looked at of every object before its type is known.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

func manifests(t *testing.T) map[string][][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	require.NoError(t, err)
	require.Len(t, paths, 3)
	all := make(map[string][][]byte)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all[filepath.Base(path)] = bytes.Split(text, []byte("\n---\n"))
	}
	return all
}

// decoded decodes an object as what it says it is. A field that there is not, or of
// another type, is an error.
func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var m manifest
	require.NoError(t, yaml.Unmarshal(text, &m))
	var object any
	switch m.APIVersion + " " + m.Kind {
	case "v1 Service":
		object = new(corev1.Service)
	case "v1 ConfigMap":
		object = new(corev1.ConfigMap)
	case "apps/v1 StatefulSet":
		object = new(appsv1.StatefulSet)
	case "policy/v1 PodDisruptionBudget":
		object = new(policyv1.PodDisruptionBudget)
	default:
		require.Fail(t, "an object of another kind", "%s %s", m.APIVersion, m.Kind)
	}
	require.NoError(t, yaml.UnmarshalStrict(text, object), string(text))
	return object
}

func TestManifestsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	for file, texts := range manifests(t) {
		for _, text := range texts {
			if set, ok := decoded(t, text).(*appsv1.StatefulSet); ok {
				checkSet(t, file, set)
			}
		}
	}
	require.Error(t, yaml.UnmarshalStrict([]byte("spec: {replica: 1}"), new(appsv1.StatefulSet)), "strict it is")
}

// checkSet wants a set to be whole, and its containers without rights.
func checkSet(t *testing.T, file string, set *appsv1.StatefulSet) {
	t.Helper()
	template := set.Spec.Template
	require.Equal(t, set.Spec.Selector.MatchLabels, template.Labels, file)
	require.True(t, *template.Spec.SecurityContext.RunAsNonRoot, file)
	require.False(t, *template.Spec.AutomountServiceAccountToken, file)
	volumes := make(map[string]bool)
	for _, v := range template.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range set.Spec.VolumeClaimTemplates {
		volumes[c.Name] = true
	}
	for _, c := range template.Spec.Containers {
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, file)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation, file)
		require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, file)
		ports := make(map[string]bool)
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if p != nil && p.HTTPGet != nil {
				require.True(t, ports[p.HTTPGet.Port.StrVal], "%s: port %s", file, p.HTTPGet.Port.StrVal)
			}
		}
		for _, m := range c.VolumeMounts {
			require.True(t, volumes[m.Name], "%s: volume %s", file, m.Name)
			delete(volumes, m.Name)
		}
	}
	require.Empty(t, volumes, "%s: volumes that nobody mounts", file)
}

// The configuration in the manifest of the NATS servers is the one beside it.
func TestManifestHasTheConfigurationOfNATS(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../../deploy/nats/nats.conf")
	require.NoError(t, err)
	for _, text := range manifests(t)["nats.yaml"] {
		if config, ok := decoded(t, text).(*corev1.ConfigMap); ok {
			// The separator of objects has taken the last line break.
			require.Equal(t, strings.TrimSpace(string(want)), strings.TrimSpace(config.Data["nats.conf"]))
			return
		}
	}
	require.Fail(t, "there is no ConfigMap")
}
