{{/* A container of the image, and its pod around it; the argument: root, name, command, settings, resources, probes */}}
{{- define "tierwise.pod" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 15
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: {{ .name }}
    image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: [{{ .command }}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    env:
      {{- range $setting, $value := merge (dict) .settings .root.Values.settings }}
      - {name: {{ $setting }}, value: {{ $value | quote }}}
      {{- end }}
      - {name: TIERWISE_SECRET_KEY_FILE, value: /run/secrets/tierwise/secret_key}
      - {name: TIERWISE_DATABASE_URL_FILE, value: /run/secrets/tierwise/database_url}
      {{- if hasPrefix "SASL" (.root.Values.settings.TIERWISE_KAFKA_SECURITY_PROTOCOL | default "") }}
      - {name: TIERWISE_KAFKA_PASSWORD_FILE, value: /run/secrets/tierwise/kafka_password}
      {{- end }}
    {{- with .port }}
    ports: [{name: http, containerPort: {{ . }}}]
    startupProbe: {httpGet: {path: /startupz, port: http}, periodSeconds: 2, failureThreshold: 30}
    livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 10, timeoutSeconds: 3}
    readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 3}
    {{- end }}
    resources: {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      - {name: secrets, mountPath: /run/secrets/tierwise, readOnly: true}
      - {name: scratch, mountPath: /tmp}
      {{- if .root.Values.certificates }}
      - {name: certificates, mountPath: /etc/tierwise, readOnly: true}
      {{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ .root.Values.secret }}
      defaultMode: 0440
      items:
        - {key: secret_key, path: secret_key}
        - {key: {{ .role }}_database_url, path: database_url}
        {{- if hasPrefix "SASL" (.root.Values.settings.TIERWISE_KAFKA_SECURITY_PROTOCOL | default "") }}
        - {key: kafka_password, path: kafka_password}
        {{- end }}
  - {name: scratch, emptyDir: {}}
  {{- if .root.Values.certificates }}
  - {name: certificates, configMap: {name: {{ .root.Values.certificates }}}}
  {{- end }}
{{- end }}

{{- define "tierwise.labels" -}}
app.kubernetes.io/name: tierwise
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}
