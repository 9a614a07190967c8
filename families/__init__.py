"""Model families: from frames or means to log-odds, each by its name in one registry."""

from __future__ import annotations

from families.attention import Attention, AttentionConfig
from families.base import FamilyModule
from families.bilstm import BiLSTM, BiLSTMConfig
from families.chain import Chain, ChainConfig
from families.dbof import DBoF, DBoFConfig
from families.dmrnet import DMRNet, DMRNetConfig
from families.errors import FamilyError
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.gating import ContextGating
from families.layers.heads import Head, HeadConfig
from families.linear import Logistic, LogisticConfig, MoE, MoEConfig
from families.lstm import LSTM, LSTMConfig
from families.mmoe import MMoE, MMoEConfig, OMoE
from families.netfv import NetFV, NetFVConfig
from families.netvlad import NetVLAD, NetVLADConfig
from families.nextvlad import NeXtVLAD, NeXtVLADConfig
from families.perceptron import Perceptron, PerceptronConfig
from families.ple import CGC, PLE, CGCConfig, PLEConfig
from families.qrnn import QRNN, QRNNConfig
from families.registry import (
    FamilyEntry,
    build,
    config_from_dict,
    config_to_dict,
    get,
    list_families,
    register,
)
from families.rnn import RNN, RNNConfig
from families.shared_bottom import SharedBottom, SharedBottomConfig
from families.size import THRESHOLD, model_bytes, parameter_count
from families.snr import SNRAver, SNRConfig, SNRTrans
from families.stream_lstm import StreamLSTM, StreamLSTMConfig
from families.stream_lstm_fc import StreamLSTMFC, StreamLSTMFCConfig

__all__ = [
    "CGC",
    "LSTM",
    "PLE",
    "QRNN",
    "RNN",
    "THRESHOLD",
    "Attention",
    "AttentionConfig",
    "BiLSTM",
    "BiLSTMConfig",
    "CGCConfig",
    "Chain",
    "ChainConfig",
    "ContextGating",
    "DBoF",
    "DBoFConfig",
    "DMRNet",
    "DMRNetConfig",
    "FamilyEntry",
    "FamilyError",
    "FamilyModule",
    "Head",
    "HeadConfig",
    "LSTMConfig",
    "Logistic",
    "LogisticConfig",
    "MMoE",
    "MMoEConfig",
    "MaskedBatchNorm",
    "MoE",
    "MoEConfig",
    "NeXtVLAD",
    "NeXtVLADConfig",
    "NetFV",
    "NetFVConfig",
    "NetVLAD",
    "NetVLADConfig",
    "OMoE",
    "PLEConfig",
    "Perceptron",
    "PerceptronConfig",
    "QRNNConfig",
    "RNNConfig",
    "SNRAver",
    "SNRConfig",
    "SNRTrans",
    "SharedBottom",
    "SharedBottomConfig",
    "StreamLSTM",
    "StreamLSTMConfig",
    "StreamLSTMFC",
    "StreamLSTMFCConfig",
    "build",
    "config_from_dict",
    "config_to_dict",
    "get",
    "list_families",
    "model_bytes",
    "parameter_count",
    "register",
]
