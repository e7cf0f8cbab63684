{{- /* Labels and taints of spot nodes and of nodes with GPUs, by cloud. */ -}}
{{- define "baton.spotLabel" -}}
{{- if eq . "gke" }}cloud.google.com/gke-spot: "true"
{{- else if eq . "eks" }}eks.amazonaws.com/capacityType: SPOT
{{- else if eq . "karpenter" }}karpenter.sh/capacity-type: spot
{{- else if eq . "aks" }}kubernetes.azure.com/scalesetpriority: spot
{{- end }}
{{- end }}

{{- define "baton.nodeSelector" -}}
{{- $found := dict -}}
{{- if and .spot (ne .cloud "none") }}{{ $found = include "baton.spotLabel" .cloud | fromYaml }}{{ end -}}
{{- if and .accelerator (eq .cloud "gke") }}{{ $_ := set $found "cloud.google.com/gke-accelerator" .accelerator }}{{ end -}}
{{- toYaml (mergeOverwrite $found .nodeSelector) }}
{{- end }}

{{- define "baton.tolerations" -}}
{{- if and .spot (eq .cloud "gke") }}
- {key: cloud.google.com/gke-spot, operator: Equal, value: "true", effect: NoSchedule}
{{- else if and .spot (eq .cloud "aks") }}
- {key: kubernetes.azure.com/scalesetpriority, operator: Equal, value: spot, effect: NoSchedule}
{{- end }}
{{- if .gpus }}
- {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
{{- end }}
{{- with .tolerations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "baton.workerEnv" -}}
{{- with .root.Values.workToken }}
{{- include "baton.secretEnv" (dict "name" "BATON_TOKEN" "secret" .secret "key" .key) }}
{{- end }}
- {name: BATON_URL, value: "http://{{ include "baton.name" .root }}:{{ .root.Values.service.port }}"}
- {name: BATON_GRACE, value: {{ .pool.grace | quote }}}
{{- if eq .pool.scale "keda" }}
- {name: BATON_IDLE, value: {{ .pool.idle | quote }}}
{{- end }}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
# The dot after the pool's name makes prefixes unique: no pool's name begins with another pool's name and a dot.
- {name: BATON_WORKER_NAME, value: "{{ .name }}.$(POD_NAME)"}
{{- include "baton.settings" .pool.settings }}
{{- end }}

{{- define "baton.workerPod" -}}
metadata:
  labels:
    {{- include "baton.labels" .root | nindent 4 }}
    app.kubernetes.io/component: worker
    baton/pool: {{ .pool.name }}
  annotations:
    # Autoscalers must not evict a worker. A worker without work ends by itself.
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
spec:
  serviceAccountName: {{ include "baton.name" .root }}-worker
  automountServiceAccountToken: false
  {{- include "baton.pullSecrets" .root | nindent 2 }}
  restartPolicy: {{ ternary "Never" "Always" (eq .pool.scale "keda") }}
  securityContext: {{- include "baton.podSecurity" .root | nindent 4 }}
  # More than BATON_GRACE: SIGKILL must not come before the hand-over has ended.
  terminationGracePeriodSeconds: {{ add .pool.grace 15 }}
  {{- with include "baton.nodeSelector" .pool | fromYaml }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "baton.tolerations" .pool | trim }}
  tolerations: {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: worker
      image: {{ include "baton.image" (dict "image" .pool.image "root" .root) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- range .pool.queues }}
        - --queue={{ . }}
        {{- end }}
      env: {{- include "baton.workerEnv" . | nindent 8 }}
      startupProbe:
        exec: {command: [python, -m, worker.health]}
        periodSeconds: 5
        timeoutSeconds: 10
        failureThreshold: 24
      livenessProbe:
        exec: {command: [python, -m, worker.health]}
        periodSeconds: 60
        timeoutSeconds: 20
        failureThreshold: 3
      resources: {{- include "baton.workerResources" .pool | nindent 8 }}
      securityContext:
        {{- include "baton.containerSecurity" .root | nindent 8 }}
        readOnlyRootFilesystem: true
      volumeMounts:
        - {name: cache, mountPath: /home/baton/.cache/baton}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: cache
      emptyDir: {sizeLimit: {{ .pool.cacheSize }}}
    - name: tmp
      emptyDir: {}
{{- end }}

{{- /* A worker trains on one GPU: a pod gets one, and a node with eight gets eight pods. */ -}}
{{- define "baton.workerResources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpus }}{{ $_ := set $resources "limits" (mergeOverwrite (dict "nvidia.com/gpu" 1) ($resources.limits | default dict)) }}{{ end -}}
{{- toYaml $resources }}
{{- end }}

{{- define "baton.demandUrl" -}}
{{- $root := .context.root -}}
http://{{ include "baton.name" $root }}.{{ $root.Release.Namespace }}.svc:{{ $root.Values.service.port }}/v1/queues/{{ .queue }}?worker={{ .context.name }}.
{{- range .context.pool.extensions }}&extension={{ . }}{{ end }}
{{- end }}
