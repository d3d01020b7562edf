# Runs the worker of one lab and keeps what it says in a file.  The task that install-service.ps1 registers calls it.
param(
    [Parameter(Mandatory)] [string] $Lab,
    [string] $Program = "C:\alyx-transfer",
    [string] $Settings = "C:\ProgramData\alyx-transfer"
)
$ErrorActionPreference = "Stop"

$log = Join-Path $Settings "logs\$Lab.log"
New-Item -ItemType Directory -Force (Split-Path $log) | Out-Null
if (Test-Path "$log.now") {
    Get-Content "$log.now" | Add-Content -Encoding utf8 $log
}
if ((Test-Path $log) -and (Get-Item $log).Length -gt 50MB) {
    Move-Item -Force $log "$log.old"
}

$env:ALYX_TRANSFER_CONFIG = Join-Path $Settings "$Lab.toml"
$env:PYTHONUTF8 = "1"
$alyxTransfer = Join-Path $Program ".venv\Scripts\alyx-transfer.exe"
$started = Start-Process -FilePath $alyxTransfer -ArgumentList "worker --lab `"$Lab`"" `
    -NoNewWindow -PassThru -Wait -RedirectStandardError "$log.now" -RedirectStandardOutput "$log.out"
exit $started.ExitCode
