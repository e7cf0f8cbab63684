{{- define "baton.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "baton" $name) }}{{ $name = printf "%s-baton" $name }}{{ end -}}
{{- $name | trunc 30 | trimSuffix "-" }}
{{- end }}

{{- define "baton.labels" -}}
app.kubernetes.io/name: baton
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* An image of the chart's registry, or an image that has its own registry. */ -}}
{{- define "baton.image" -}}
{{- $image := .image -}}
{{- with .root.Values.image -}}
{{- if contains "/" $image }}{{ $image }}{{ else }}{{ .registry }}/baton-{{ $image }}:{{ .tag | default $.root.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "baton.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .key | default .name }}}
{{- end }}

{{- define "baton.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{- define "baton.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "baton.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}

{{- define "baton.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Rules that the service and the workers share: DNS, the store and other servers, the cloud's metadata server. */ -}}
{{- define "baton.egress" -}}
{{- with .Values.networkPolicy.egress -}}
# DNS. Without peers: some clusters have a DNS cache on each node, which is not a pod.
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- if .ports }}
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  to:
    {{- range .addresses }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- with .metadata }}
# The metadata server gives a pod the token of its cloud identity.
- ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  to:
    {{- range .addresses }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}
