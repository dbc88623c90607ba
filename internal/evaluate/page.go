package evaluate

// page is the template of the report.
const page = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Options.Title}}</title>
<style>
body { font: 15px/1.45 sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.8rem 0; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, td.l, th.l { text-align: left; }
thead th { border-bottom: 2px solid #888; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: 0.9rem; max-width: 60rem; }
.wide { overflow-x: auto; }
</style>
</head>
<body>
<h1>{{.Options.Title}}</h1>
{{range .Options.Notes}}<p class="note">{{.}}</p>
{{end}}
<h2>Overview</h2>
<p class="note">Means over all devices and attacks; ± is the 95 % interval over seeds. Rates in percent.</p>
<div class="wide"><table>
<thead><tr><th>algorithm</th><th class="l">threshold</th><th>row TPR</th><th>row FPR</th><th>row F1</th><th>AUC</th><th>window TPR</th><th>window FPR</th><th>window F1</th><th>missed</th><th>rows to alarm</th><th>detection time</th><th>false alarms a week</th></tr></thead>
<tbody>{{range .Overview}}
<tr><td>{{.Algorithm}}</td><td class="l">{{.Rule}}</td><td>{{share .RowTPR}}</td><td>{{share .RowFPR}}</td><td>{{share .RowF1}}</td><td>{{share .AUC}}</td><td>{{share .WindowTPR}}</td><td>{{share .WindowFPR}}</td><td>{{share .WindowF1}}</td><td>{{share .Missed}}</td><td>{{plain .WindowDelay}}</td><td>{{time .Detection}}</td><td>{{plain .PerWeek}}</td></tr>{{end}}
</tbody></table></div>
{{range .Figures}}<figure id="{{.Name}}">{{svg .SVG}}<figcaption>{{.Caption}}</figcaption></figure>
{{end}}
<h2>Data</h2>
<div class="wide"><table>
<thead><tr><th>device</th><th>train</th><th>OptDS</th><th>test</th><th>OptDS hours</th><th>test hours</th><th class="l">attacks (rows)</th></tr></thead>
<tbody>{{range $i, $d := .Devices}}
<tr><td>{{inc $i}}. {{.Name}}</td><td>{{.Train}}</td><td>{{.Opt}}</td><td>{{.Test}}</td><td>{{if .OptHours}}{{printf "%.2f" .OptHours}}{{else}}–{{end}}</td><td>{{if .TestHours}}{{printf "%.2f" .TestHours}}{{else}}–{{end}}</td><td class="l">{{range .Attacks}}{{.Attack}} ({{.Rows}}{{if not .Timed}}, no times{{end}}) {{end}}</td></tr>{{end}}
</tbody></table></div>
{{range .Devices}}{{$name := .Name}}{{range .Notes}}<p class="note">{{$name}}: {{.}}</p>
{{end}}{{end}}
<h2>Computing</h2>
<div class="wide"><table>
<thead><tr><th>device</th><th class="l">algorithm</th><th>training</th><th>a row alone</th><th>a row among 256</th></tr></thead>
<tbody>{{range .Computing}}
<tr><td>{{.Device}}</td><td class="l">{{algorithm .Algorithm}}</td><td>{{time .Fit}}</td><td>{{nanos .One}}</td><td>{{nanos .Many}}</td></tr>{{end}}
</tbody></table></div>
{{$result := .Result}}{{range .Devices}}{{$name := .Name}}
<h2>{{.Name}}</h2>
<h3>Benign rows</h3>
<div class="wide"><table>
<thead><tr><th>algorithm</th><th class="l">rule</th><th>threshold</th><th>window</th><th>row FPR</th><th>window FPR</th><th>false alarms</th><th>a week</th><th>expected a week</th><th>at most (95 %)</th></tr></thead>
<tbody>{{range $result.BenignOf $name}}
<tr><td>{{algorithm .Algorithm}}</td><td class="l">{{rule .Rule}}</td><td>{{plain .Threshold}}</td><td>{{plain .Window}}</td><td>{{share .RowFPR}}</td><td>{{share .WindowFPR}}</td><td>{{plain .Alarms}}</td><td>{{plain .PerWeek}}</td><td>{{plain .Expected}}</td><td>{{plain .Bound}}</td></tr>{{end}}
</tbody></table></div>
{{range $rule := $result.Rules}}{{$found := $result.AttacksOf $name $rule}}{{if $found}}
<h3>Attacks, threshold by {{rule $rule}}</h3>
<div class="wide"><table>
<thead><tr><th>attack</th><th class="l">algorithm</th><th>row TPR</th><th>row F1</th><th>AUC</th><th>first row flagged</th><th>after</th><th>window TPR</th><th>window F1</th><th>alarm at row</th><th>after</th><th>computing</th></tr></thead>
<tbody>{{range $found}}
<tr><td>{{.Attack}}</td><td class="l">{{algorithm .Algorithm}}</td><td>{{share .RowTPR}}</td><td>{{share .RowF1}}</td><td>{{share .AUC}}</td><td>{{plain .RowDelay}}</td><td>{{time .RowSeconds}}</td><td>{{share .WindowTPR}}</td><td>{{share .WindowF1}}</td><td>{{plain .WindowDelay}}</td><td>{{time .WindowSeconds}}</td><td>{{time .Computing}}</td></tr>{{end}}
</tbody></table></div>{{end}}{{end}}{{end}}
<h2>Methods</h2>
<ul>
<li>Benign rows of a device are split by time, never shuffled: the first third trains, the second (OptDS) stops the autoencoder's training and sets thresholds and windows, the last is where false positives are counted. Where attacks were laid over a later part of the traffic, that is the last part and what is before it is halved.</li>
<li>Seeds {{.Options.Seed}} and following, {{.Options.Seeds}} in all. Intervals are 95 % of Student's t over them: chance in training, not the choice of devices and days. A detector that draws nothing has none.</li>
<li>All detectors see signed log1p of the features, standardised by the training part, with correlations of nearly constant sizes taken as 0; the autoencoder has this built in. It learns from at most {{or .Options.Detect.MaxRows 20000}} evenly chosen rows, SVM and LOF from at most {{or .Options.Baseline.MaxRows 10000}}.</li>
<li>Equation 1: mean plus standard deviation of the scores of OptDS. Conformal: the ⌈(n+1)(1−α)⌉-th smallest, α = {{.Options.Alpha}}; the largest when there are fewer than 1/α − 1. Maximum: the largest. With each goes the smallest window, at most {{.Options.MaxWindow}} rows, whose majority vote is silent on OptDS.</li>
<li>Alarms per week: half-way, on a logarithmic scale, between the largest score of OptDS and the least threshold, at least the 99 % quantile, at which a vote of {{.Options.Window}} rows within {{.Options.Span}} raises no more false alarms there than {{.Options.Alarms}} a week. Where OptDS is shorter than one alarm's share of time, or rows carry no time, that means: none. To promise the wished rate with 95 % confidence takes {{.Learn}}; “at most” above is what the data at hand can promise.</li>
<li>A false alarm ends after {{.Options.Quiet}} without cause, and counts again for each {{.Options.Quiet}} that it lasts. Observed time leaves out longer gaps. Where rows carry no time, a window's length of rows stands for it, and no rate by week is given.</li>
<li>Row F1 and window F1 are those of the attack's rows beside the last third's: they depend on how many there are of each. AUC counts ties half. Window rates are over rows that end a full window.</li>
<li>Detection time runs from the attack's first row to the alarm and adds the computing of the rows in between, one by one. Where rows carry no time it is the computing alone.</li>
<li>Computing is the best of five passes over up to 256 rows on one core; training is timed while others train beside it ({{.Options.Workers}} at once).</li>
<li>Machine: {{with .Options.Machine}}{{.Processor}}, {{.Cores}} cores, {{.System}}, {{.Go}}, bellwether {{.Version}}{{end}}.</li>
<li>Algorithms: {{range .Options.Algorithms}}{{algorithm .}}; {{end}}all written for this program and run in one process on the same rows.</li>
</ul>
</body>
</html>
`
